"""/v1/files. https://platform.openai.com/docs/api-reference/files"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import FileStorage

from gateway.api.context import services
from gateway.api.endpoints.media import send
from gateway.api.hooks.auth import caller
from gateway.api.http.body import json_response
from gateway.api.http.forms import pieces, read_form
from gateway.api.http.idempotency import once
from gateway.api.http.pagination import page_answer, page_asked
from gateway.domain.errors import InvalidRequest, MissingField
from gateway.storage.records.files import FileRecord

bp = Blueprint("files", __name__)
_LONGEST_NUMBER = 18  # digits; which numbers are sensible is told by the service


@bp.post("/v1/files")
def upload() -> ResponseReturnValue:
    form = read_form()
    file = form.files.get("file")
    if file is None:
        raise MissingField("file is required.", param="file")
    expires_after_s = _seconds(form.values)

    def answer(_: str | None) -> Response:
        record = services().files.create(
            pieces(file),
            filename=file.filename or "file",
            purpose=form.values.get("purpose") or "user_data",
            expires_after_s=expires_after_s,
            caller=caller(),
        )
        return json_response(_render(record))

    keyed = "Idempotency-Key" in request.headers
    return once({**form.values, "file": _digest(file) if keyed else ""}, answer)


def _digest(file: FileStorage) -> str:
    found = hashlib.sha256((file.filename or "").encode("utf-8", "surrogatepass"))
    for piece in pieces(file):
        found.update(piece)
    file.stream.seek(0)
    return found.hexdigest()


@bp.get("/v1/files")
def list_files() -> ResponseReturnValue:
    page = page_asked(usual=100, most=10_000)
    found, more = services().files.list(
        caller(),
        purpose=request.args.get("purpose"),
        after=page.after,
        limit=page.limit,
        order=page.order,
    )
    return page_answer([_render(record) for record in found], more=more)


@bp.get("/v1/files/<file_id>")
def get_file(file_id: str) -> ResponseReturnValue:
    return json_response(_render(services().files.get(file_id, caller())))


@bp.get("/v1/files/<file_id>/content")
def get_content(file_id: str) -> ResponseReturnValue:
    record, stored = services().files.content(file_id, caller())
    return send(stored, private=True, filename=record.filename)


@bp.delete("/v1/files/<file_id>")
def delete_file(file_id: str) -> ResponseReturnValue:
    services().files.delete(file_id, caller())
    return json_response({"id": file_id, "object": "file", "deleted": True})


def _seconds(values: Mapping[str, Any]) -> int | None:
    anchor, text = values.get("expires_after[anchor]"), values.get("expires_after[seconds]")
    if anchor not in (None, "created_at"):
        raise InvalidRequest(
            "expires_after[anchor] must be `created_at`.", param="expires_after[anchor]"
        )
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > _LONGEST_NUMBER:
        raise InvalidRequest(
            "expires_after[seconds] must be a whole number.", param="expires_after[seconds]"
        )
    return int(text)


def _render(record: FileRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "object": "file",
        "bytes": record.size,
        "created_at": int(record.created_at),
        "expires_at": int(record.expires_at) if record.expires_at else None,
        "filename": record.filename,
        "purpose": record.purpose,
        "status": "processed",
    }
