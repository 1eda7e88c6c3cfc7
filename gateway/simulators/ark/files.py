"""`/files` of Ark: uploads that chat messages refer to."""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from threading import Lock

from flask import Blueprint, Response, request

from gateway.simulators.ark.media import invalid
from gateway.simulators.ark.protocol import ArkError, open_call
from gateway.simulators.calls import Call, json_response
from gateway.simulators.fields import Fields
from gateway.simulators.ledger import Ledger
from gateway.simulators.media.inputs import Unreadable, load
from gateway.simulators.media.media_info import MediaInfo, describe
from gateway.simulators.state import current_state

bp = Blueprint("files", __name__)

_PURPOSES = ("user_data", "agent")
_WEEK_S = 7 * 24 * 3600
_LIMIT_BYTES = 512 * 1024 * 1024
_PROCESSING_S = 0.5


@dataclass(frozen=True, slots=True)
class File:
    """An upload. Only its description is kept; no endpoint gives the bytes back."""

    id: str
    owner: str
    filename: str
    purpose: str
    seen: MediaInfo
    created_at: float
    expire_at: int
    configs: dict[str, str]

    @property
    def status(self) -> str:
        """Return `processing` for a video that has just come in, else `active`."""
        young = time.time() < self.created_at + _PROCESSING_S
        return "processing" if self.seen.kind == "video" and young else "active"

    def view(self) -> dict[str, object]:
        return {
            "id": self.id,
            "object": "file",
            "bytes": self.seen.size,
            "created_at": int(self.created_at),
            "expire_at": self.expire_at,
            "filename": self.filename,
            "purpose": self.purpose,
            "status": self.status,
            "error": None,
            "mime_type": self.seen.mime,
            "preprocess_configs": self.configs or None,
        }


class Files:
    """All uploads, newest last."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = Lock()
        self._files: dict[str, File] = {}

    def add(self, file: File) -> None:
        """Keep an upload."""
        with self._lock:
            self._files[file.id] = file
        self._ledger.add("files", file.id)

    def get(self, file_id: str, owner: str) -> File:
        """Return an upload of the same account; raises NotFound.File."""
        with self._lock:
            file = self._files.get(file_id)
        if file is None or file.owner != owner or file.expire_at < time.time():
            raise _not_found(file_id)
        return file

    def owned(self, owner: str) -> list[File]:
        """Return the account's uploads, oldest first."""
        with self._lock:
            return [file for file in self._files.values() if file.owner == owner]

    def delete(self, file_id: str, owner: str) -> None:
        """Forget an upload; raises NotFound.File."""
        self.get(file_id, owner)
        with self._lock:
            if self._files.pop(file_id, None) is None:
                raise _not_found(file_id)
        self._ledger.record_end("files", file_id, "deleted")

    def update_ledger(self) -> None:
        """Drop the uploads whose time is over."""
        with self._lock:
            over = [one.id for one in self._files.values() if one.expire_at < time.time()]
            for file_id in over:
                del self._files[file_id]
        for file_id in over:
            self._ledger.record_end("files", file_id, "expired")


def active_file(holder: Fields, call: Call) -> MediaInfo:
    """Return the file that the `file_id` of an object names, if it is active."""
    file = current_state().store(Files).get(holder.required_text("file_id"), call.credential)
    if file.status != "active":
        raise invalid(holder.at("file_id"), f"file {file.id} is not active yet")
    return file.seen


@bp.post("/files")
def create() -> Response:
    """Take an upload, or fetch it from a URL."""
    call = open_call("ark.files.create", body=dict(request.form), main=False)
    form = request.form
    if form.get("purpose") not in _PURPOSES:
        raise invalid("purpose", f"must be one of {', '.join(_PURPOSES)}")
    name, data = _content()
    configs = {key: form[key] for key in form if key.startswith("preprocess_configs[")}
    now = time.time()
    file = File(
        id=f"file-{time.strftime('%Y%m%d%H%M%S')}-{secrets.token_hex(3)}",
        owner=call.credential,
        filename=name,
        purpose=form["purpose"],
        seen=describe(data),
        created_at=now,
        expire_at=_expiry(form.get("expire_at"), now),
        configs=configs,
    )
    current_state().store(Files).add(file)
    return json_response(file.view())


@bp.get("/files")
def list_files() -> Response:
    """List the account's uploads, newest first unless `order=asc`."""
    call = open_call("ark.files.list", main=False)
    args = request.args
    files = current_state().store(Files).owned(call.credential)
    if args.get("order", "desc") == "desc":
        files.reverse()
    if "purpose" in args:
        files = [file for file in files if file.purpose == args["purpose"]]
    if "after" in args:
        ids = [file.id for file in files]
        files = files[ids.index(args["after"]) + 1 :] if args["after"] in ids else []
    limit = args.get("limit", 100, int)
    if not 1 <= limit <= 1000:
        raise invalid("limit", "must be between 1 and 1000")
    page = [file.view() for file in files[:limit]]
    return json_response(
        {
            "object": "list",
            "data": page,
            "first_id": page[0]["id"] if page else None,
            "last_id": page[-1]["id"] if page else None,
            "has_more": len(files) > limit,
        }
    )


@bp.get("/files/<file_id>")
def retrieve(file_id: str) -> Response:
    """Describe an upload."""
    call = open_call("ark.files.get", main=False)
    return json_response(current_state().store(Files).get(file_id, call.credential).view())


@bp.delete("/files/<file_id>")
def delete(file_id: str) -> Response:
    """Forget an upload."""
    call = open_call("ark.files.delete", main=False)
    current_state().store(Files).delete(file_id, call.credential)
    return json_response({"id": file_id, "object": "file", "deleted": True})


def _content() -> tuple[str, bytes]:
    upload, url = request.files.get("file"), request.form.get("url")
    if (upload is None) == (url is None):
        raise invalid("file", "exactly one of file and url is needed")
    if upload is not None:
        return upload.filename or "upload", upload.read()
    try:
        return (url or "").rpartition("/")[2] or "upload", load(url or "", limit=_LIMIT_BYTES).data
    except Unreadable as error:
        raise invalid("url", str(error)) from error


def _expiry(given: str | None, now: float) -> int:
    if given is None:
        return int(now) + _WEEK_S
    if not given.isdecimal() or int(given) <= now:
        raise invalid("expire_at", "must be a Unix time to come")
    return int(given)


def _not_found(file_id: str) -> ArkError:
    return ArkError(404, "NotFound.File", f"The file {file_id} does not exist.", type="NotFound")
