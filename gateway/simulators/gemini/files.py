"""The Files API: states, deletion, and download of what the models made.

https://ai.google.dev/api/files
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Literal

from flask import Response, request

from gateway.simulators.gemini.errors import no_such_file
from gateway.simulators.gemini.protocol import VERSION, bp, open_call
from gateway.simulators.google.errors import invalid
from gateway.simulators.google.http import check_query, google_json, page, page_size
from gateway.simulators.ledger import Ledger
from gateway.simulators.state import current_state

HOST_URL = "https://generativelanguage.googleapis.com"

_LIFETIME_S = 48 * 3600
_PROCESSING_S = 0.5

State = Literal["PROCESSING", "ACTIVE", "FAILED"]


@dataclass(slots=True)
class File:
    """One file. The bytes of a generated one may be made when they are first read."""

    id: str
    owner: str
    mime: str
    title: str
    data: bytes | Callable[[], bytes]
    source: Literal["UPLOADED", "GENERATED"]
    active_at: float
    created_at: float = field(default_factory=time.time)
    gone: bool = False

    @property
    def state(self) -> State:
        return "ACTIVE" if time.monotonic() >= self.active_at else "PROCESSING"

    def read(self) -> bytes:
        return self.data if isinstance(self.data, bytes) else self.data()

    def view(self) -> dict[str, Any]:
        """Return the file as the API shows it."""
        data, created = self.read(), timestamp(self.created_at)
        # The API encodes the digits of the digest, not its bytes.
        digest = hashlib.sha256(data).hexdigest()
        uri = f"{HOST_URL}/v1beta/files/{self.id}"
        shown: dict[str, Any] = {
            "name": f"files/{self.id}",
            "mimeType": self.mime,
            "sizeBytes": str(len(data)),
            "createTime": created,
            "updateTime": created,
            "expirationTime": timestamp(self.created_at + _LIFETIME_S),
            "sha256Hash": base64.b64encode(digest.encode()).decode(),
            "uri": uri,
            "state": self.state,
            "source": self.source,
        }
        if self.title:
            shown["displayName"] = self.title
        if self.source == "GENERATED":
            shown["downloadUri"] = f"{uri}:download?alt=media"
        return shown


class Files:
    """All files. Each project, that is each key, has its own."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = Lock()
        self._files: dict[str, File] = {}

    def update_ledger(self) -> None:
        """Nothing changes with time that the ledger counts."""

    def _add(self, file: File) -> File:
        with self._lock:
            self._files[file.id] = file
        self._ledger.add("files", file.id)
        return file

    def uploaded(self, file_id: str, owner: str, mime: str, title: str, data: bytes) -> File:
        """Store an uploaded file; a video is in PROCESSING first."""
        wait_s = _PROCESSING_S if mime.startswith("video/") else 0
        active_at = time.monotonic() + wait_s
        return self._add(File(file_id, owner, mime, title, data, "UPLOADED", active_at))

    def generated(
        self, owner: str, mime: str, data: Callable[[], bytes], *, gone: bool = False
    ) -> File:
        """Store a generated file, which is in PROCESSING first."""
        active_at = time.monotonic() + _PROCESSING_S
        return self._add(File(new_id(), owner, mime, "", data, "GENERATED", active_at, gone=gone))

    def find(self, file_id: str, owner: str) -> File | None:
        with self._lock:
            file = self._files.get(file_id)
        return file if file and file.owner == owner else None

    def remove(self, file: File) -> bool:
        """Delete a file; False when another request was faster."""
        with self._lock:
            removed = self._files.pop(file.id, None)
        if removed is not None:
            self._ledger.record_end("files", file.id, "deleted")
        return removed is not None

    def of(self, owner: str) -> list[File]:
        with self._lock:
            return [file for file in self._files.values() if file.owner == owner]


def new_id() -> str:
    """Return an id as the API makes them."""
    return secrets.token_hex(6)


def timestamp(at: float) -> str:
    """Return a time in RFC 3339 with microseconds."""
    whole, part = divmod(round(at * 1_000_000), 1_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(whole))}.{part:06d}Z"


@bp.get(f"/{VERSION}/files")
def list_files(version: str) -> Response:
    """List the project's files, newest first."""
    call = open_call("files.list")
    check_query("pageSize", "pageToken")
    files = current_state().store(Files).of(call.credential)[::-1]
    shown, next_token = page(files, page_size("pageSize", 10, 100))
    answer: dict[str, Any] = {"files": [file.view() for file in shown]} if shown else {}
    if next_token:
        answer["nextPageToken"] = next_token
    return google_json(answer)


@bp.get(f"/{VERSION}/files/<file_id>")
def get_file(version: str, file_id: str) -> Response:
    """Show one file."""
    call = open_call("files.get")
    return google_json(_own(file_id, call.credential).view())


@bp.delete(f"/{VERSION}/files/<file_id>")
def delete_file(version: str, file_id: str) -> Response:
    """Delete one file."""
    call = open_call("files.delete")
    if not current_state().store(Files).remove(_own(file_id, call.credential)):
        raise no_such_file(file_id)
    return google_json({})


@bp.get(f"/{VERSION}/files/<file_id>:download")
def download_file(version: str, file_id: str) -> Response:
    """Send the bytes of a generated file; uploaded ones cannot be fetched back."""
    call = open_call("files.download")
    check_query()
    file = _own(file_id, call.credential)
    if file.source != "GENERATED":
        raise invalid("Only generated files can be downloaded.")
    if file.gone:
        raise no_such_file(file_id)
    if file.state != "ACTIVE":
        raise invalid(f"The File {file_id} is not in an ACTIVE state and usage is not allowed.")
    if request.args.get("alt") != "media":
        return google_json({})
    response = Response(file.read(), content_type=file.mime)
    response.make_conditional(request, accept_ranges=True, complete_length=len(file.read()))
    return response


def _own(file_id: str, owner: str) -> File:
    file = current_state().store(Files).find(file_id, owner)
    if file is None:
        raise no_such_file(file_id)
    return file
