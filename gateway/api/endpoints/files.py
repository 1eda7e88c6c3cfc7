"""/v1/files. https://platform.openai.com/docs/api-reference/files"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from flask import Blueprint, request
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import FileStorage

from gateway.api.app import ApiResponse
from gateway.api.context import current
from gateway.api.endpoints.media import send
from gateway.api.http.described import BYTES, FILE, described, page_query
from gateway.api.http.forms import pieces, read_form
from gateway.api.http.idempotency import answer_once
from gateway.api.http.pagination import page_response, requested_page
from gateway.api.http.responses import json_response
from gateway.domain.errors import InvalidRequest, MissingField
from gateway.domain.media import FileRecord

bp = Blueprint("files", __name__)
_UPLOAD = {
    "file": FILE,
    "purpose": {"type": "string", "default": "user_data"},
    "expires_after[seconds]": {"type": "integer", "minimum": 3600, "maximum": 2592000},
}
MAX_FILES = 10_000  # of one page
_LONGEST_NUMBER = 18  # digits; the service knows the range


@bp.post("/v1/files")
@described(form=_UPLOAD, required=("file",), headers=("Idempotency-Key",))
def upload() -> ResponseReturnValue:
    """Upload a file to refer to as file_id."""
    context = current()
    form = read_form(context)
    file = form.files.get("file")
    if file is None:
        raise MissingField("file is required.", param="file")
    expires_after_s = _seconds(form.values)

    def answer(_: str | None) -> ApiResponse:
        record = context.services.files.create(
            pieces(file),
            filename=file.filename or "file",
            purpose=form.values.get("purpose") or "user_data",
            expires_after_s=expires_after_s,
            caller=context.caller,
        )
        return json_response(_render(record))

    digest = _digest(file) if "Idempotency-Key" in request.headers else ""
    return answer_once(context, {**form.values, "file": digest}, answer)


def _digest(file: FileStorage) -> str:
    digest = hashlib.sha256((file.filename or "").encode("utf-8", "surrogatepass"))
    for piece in pieces(file):
        digest.update(piece)
    file.stream.seek(0)
    return digest.hexdigest()


@bp.get("/v1/files")
@described(query=page_query(MAX_FILES) | {"purpose": {"type": "string"}})
def list_files() -> ResponseReturnValue:
    """List your files."""
    context, page = current(), requested_page(default=100, maximum=MAX_FILES)
    records, more = context.services.files.list(
        context.caller,
        purpose=request.args.get("purpose"),
        after=page.after,
        limit=page.limit,
        order=page.order,
    )
    return page_response([_render(record) for record in records], more=more)


@bp.get("/v1/files/<file_id>")
def get_file(file_id: str) -> ResponseReturnValue:
    """Describe one file."""
    context = current()
    return json_response(_render(context.services.files.get(file_id, context.caller)))


@bp.get("/v1/files/<file_id>/content")
@described(answers=(BYTES,))
def get_content(file_id: str) -> ResponseReturnValue:
    """Send the bytes of a file."""
    context = current()
    record, stored = context.services.files.content(file_id, context.caller)
    return send(context, stored, private=True, filename=record.filename)


@bp.delete("/v1/files/<file_id>")
def delete_file(file_id: str) -> ResponseReturnValue:
    """Delete a file."""
    context = current()
    context.services.files.delete(file_id, context.caller)
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
