"""Resumable uploads into the Files API: announced with the key, sent to a URL without one.

https://ai.google.dev/gemini-api/docs/files
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from threading import Lock

from flask import Response, request

from gateway.simulators.calls import receive
from gateway.simulators.gemini.files import Files, new_id
from gateway.simulators.gemini.protocol import VERSION, bp, open_call
from gateway.simulators.gemini.schemas import CREATE_FILE
from gateway.simulators.google.errors import GoogleError, invalid
from gateway.simulators.google.http import google_json, json_body, read_payload
from gateway.simulators.ledger import Ledger
from gateway.simulators.state import current_state

_LARGEST_BYTES = 2 * 1024**3
_GRANULARITY_BYTES = 256 * 1024
_LONGEST_TITLE = 512
_ID = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")


@dataclass(slots=True)
class Upload:
    """A resumable upload that has begun."""

    owner: str
    file_id: str
    mime: str
    title: str
    expected_bytes: int | None
    data: bytearray = field(default_factory=bytearray)


class Uploads:
    """All unfinished uploads."""

    def __init__(self, ledger: Ledger) -> None:
        self._lock = Lock()
        self._uploads: dict[str, Upload] = {}

    def update_ledger(self) -> None:
        """Nothing changes with time that the ledger counts."""

    def begin(self, upload: Upload) -> str:
        """Keep an upload and return its id."""
        upload_id = secrets.token_urlsafe(48)
        with self._lock:
            self._uploads[upload_id] = upload
        return upload_id

    def find(self, upload_id: str) -> Upload | None:
        with self._lock:
            return self._uploads.get(upload_id)

    def end(self, upload_id: str) -> None:
        with self._lock:
            self._uploads.pop(upload_id, None)


@bp.post(f"/upload/{VERSION}/files")
def upload(version: str) -> Response:
    """Start an upload, or continue the one that `upload_id` names."""
    upload_id = request.args.get("upload_id")
    return _begin(version) if upload_id is None else _continue(upload_id)


def _begin(version: str) -> Response:
    body = json_body()
    call = open_call("files.create", body)
    if request.headers.get("X-Goog-Upload-Protocol") != "resumable":
        raise invalid("The simulator takes resumable uploads only.")
    if _command() != "start":
        raise invalid("The first command of an upload is start.")
    given = read_payload(CREATE_FILE, body).get("file", {})
    mime = request.headers.get("X-Goog-Upload-Header-Content-Type") or given.get("mimeType", "")
    if not mime:
        raise invalid("Unsupported MIME type: ")
    length = request.headers.get("X-Goog-Upload-Header-Content-Length", "")
    expected = int(length) if length.isdecimal() else given.get("sizeBytes")
    if expected is not None and expected > _LARGEST_BYTES:
        raise invalid(f"File is larger than the limit of {_LARGEST_BYTES} bytes.")
    title = given.get("displayName", "")
    if len(title) > _LONGEST_TITLE:
        raise invalid(
            f"* CreateFileRequest.file.display_name: must be at most {_LONGEST_TITLE} characters.\n"
        )
    upload = Upload(call.credential, _chosen_id(given.get("name")), mime, title, expected)
    upload_id = current_state().store(Uploads).begin(upload)
    url = f"{request.base_url}?upload_id={upload_id}&upload_protocol=resumable"
    return _step(
        "active",
        {
            "X-Goog-Upload-URL": url,
            "X-Goog-Upload-Control-URL": url,
            "X-Goog-Upload-Chunk-Granularity": str(_GRANULARITY_BYTES),
            "X-GUploader-UploadID": upload_id,
        },
    )


def _chosen_id(name: str | None) -> str:
    if name is None:
        return new_id()
    file_id = name.removeprefix("files/")
    if not _ID.fullmatch(file_id):
        raise invalid(f"* CreateFileRequest.file.name: {name} is not a valid name of a file.\n")
    return file_id


def _continue(upload_id: str) -> Response:
    """Take bytes. The URL is the credential: no key comes with them."""
    uploads = current_state().store(Uploads)
    upload = uploads.find(upload_id)
    receive("gemini.files.upload", upload.owner if upload else "", main=False)
    if upload is None:
        raise GoogleError(404, "Upload session not found.")
    commands = {word.strip() for word in _command().split(",")}
    if commands == {"cancel"}:
        uploads.end(upload_id)
        return _step("cancelled", {})
    if commands == {"query"}:
        return _step("active", {"X-Goog-Upload-Size-Received": str(len(upload.data))})
    if not commands <= {"upload", "finalize"}:
        raise invalid(f"Unknown upload command: {_command()}")
    if "upload" in commands:
        _take(upload, final="finalize" in commands)
    if "finalize" not in commands:
        return _step("active", {"X-Goog-Upload-Size-Received": str(len(upload.data))})
    return _finish(uploads, upload_id, upload)


def _take(upload: Upload, *, final: bool) -> None:
    offset = request.headers.get("X-Goog-Upload-Offset", "")
    if offset != str(len(upload.data)):
        raise invalid(f"Upload offset {offset} does not match the {len(upload.data)} bytes held.")
    data = request.get_data(cache=False)
    if not final and len(data) % _GRANULARITY_BYTES:
        raise invalid(f"Chunks but the last have a multiple of {_GRANULARITY_BYTES} bytes.")
    upload.data += data


def _finish(uploads: Uploads, upload_id: str, upload: Upload) -> Response:
    if upload.expected_bytes is not None and upload.expected_bytes != len(upload.data):
        raise invalid(
            f"The upload has {len(upload.data)} bytes, {upload.expected_bytes} were announced."
        )
    files = current_state().store(Files)
    if files.find(upload.file_id, upload.owner):
        raise GoogleError(409, f"Requested entity already exists: files/{upload.file_id}")
    uploads.end(upload_id)
    file = files.uploaded(
        upload.file_id, upload.owner, upload.mime, upload.title, bytes(upload.data)
    )
    response = google_json({"file": file.view()})
    response.headers["X-Goog-Upload-Status"] = "final"
    return response


def _command() -> str:
    return request.headers.get("X-Goog-Upload-Command", "")


def _step(status: str, headers: dict[str, str]) -> Response:
    response = Response(status=200, content_type="text/plain; charset=utf-8")
    response.headers.update({"X-Goog-Upload-Status": status, **headers})
    return response
