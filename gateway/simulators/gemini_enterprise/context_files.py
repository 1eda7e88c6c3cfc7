"""Files of a session: uploaded in JSON, listed, and downloaded by way of a signed URL."""

from __future__ import annotations

import mimetypes
import re
from typing import Any

from flask import Response, request

from gateway.simulators.gemini_enterprise.errors import not_found
from gateway.simulators.gemini_enterprise.protocol import ENGINE, VERSION, bp, open_call
from gateway.simulators.gemini_enterprise.schemas import CONTEXT_FILE
from gateway.simulators.gemini_enterprise.sessions import open_session, own_session
from gateway.simulators.gemini_enterprise.store import StoredFile, nanoseconds
from gateway.simulators.google.errors import invalid
from gateway.simulators.google.http import (
    check_query,
    google_json,
    json_body,
    not_routed,
    read_payload,
)
from gateway.simulators.state import current_state

_LARGEST_BYTES = 100 * 1024 * 1024
_QUOTA_TOKENS = 800_000
_TYPES = re.compile(
    r"text/.+|image/.+|video/.+|audio/.+|message/rfc822"
    r"|application/(pdf|json|xml|rtf|msword|vnd\.(ms-|openxmlformats-|google-apps\.).+)"
)


@bp.post(f"/{VERSION}/{ENGINE}/sessions/<session_id>:addContextFile")
def add_context_file(version: str, session_id: str, **names: str) -> Response:
    """Take a file into a session; the session `-` is a new one."""
    body = json_body()
    call, engine = open_call("addContextFile", body)
    check_query()
    given = read_payload(CONTEXT_FILE[version], body)
    if "document" in given:
        raise invalid('Field "document" is invalid: the simulator holds no documents.')
    name, data = given.get("fileName", ""), given.get("fileContents", b"")
    if not name:
        raise invalid('Field "file_name" is a required field, but no value is found.')
    if not data:
        raise invalid('Field "file_contents" is a required field, but no value is found.')
    if len(data) > _LARGEST_BYTES:
        raise invalid(f"The file exceeds the limit of {_LARGEST_BYTES} bytes.")
    mime = given.get("mimeType") or mimetypes.guess_type(name)[0] or ""
    if not _TYPES.fullmatch(mime):
        raise invalid(f'Field "mime_type" is invalid: "{mime}" is not supported.')
    if session_id == "-":
        session = open_session(engine, call.credential, {})
    else:
        session = own_session(engine, session_id, call.credential)
    file = session.add(name, mime, data)
    return google_json(
        {
            "session": session.name,
            "fileId": file.id,
            "tokenCount": str(file.tokens),
            "mimeType": mime,
            "byteCount": str(len(data)),
            "fileName": name,
        }
    )


@bp.get(f"/{VERSION}/{ENGINE}/sessions/<session_id>:listSessionFileMetadata")
def list_files(version: str, session_id: str, **names: str) -> Response:
    """List the files of a session; v1alpha alone has this method."""
    if version != "v1alpha":
        return not_routed()
    call, engine = open_call("listSessionFileMetadata")
    check_query("filter")
    session = own_session(engine, session_id, call.credential)
    files = list(session.files.values())
    answer: dict[str, Any] = {}
    if files:
        answer["fileMetadata"] = [_metadata(file, session.name) for file in files]
        answer["totalQuotaPercentage"] = sum(map(_percentage, files))
    return google_json(answer)


@bp.get(f"/{VERSION}/{ENGINE}/sessions/<session_id>:downloadFile")
def download_file(version: str, session_id: str, **names: str) -> Response:
    """Redirect to a signed URL of the file, valid for a limited time."""
    call, engine = open_call("downloadFile")
    check_query("fileId", "viewId")
    session = own_session(engine, session_id, call.credential)
    file_id = request.args.get("fileId", "")
    if not file_id:
        raise invalid('Field "file_id" is a required field, but no value is found.')
    file = session.files.get(file_id)
    if file is None:
        raise not_found("File", f"{session.name}/files/{file_id}")
    if request.args.get("alt") != "media":
        return Response(status=200, content_type="application/json; charset=UTF-8")
    gone, late = "gone" in call.behaviour, call.behaviour.words.get("latelink", 0)
    if not (late and file.links):  # a late one is late once
        url = current_state().media.put(
            lambda: file.data, file.mime, file.name, gone=gone, late=late, expires_s=3600
        )
        file.links.append(url)
    return Response(status=302, headers={"Location": file.links[-1]})


def _metadata(file: StoredFile, session: str) -> dict[str, Any]:
    return {
        "fileId": file.id,
        "name": file.name,
        "mimeType": file.mime,
        "byteSize": str(len(file.data)),
        "tokenCount": str(file.tokens),
        "quotaPercentage": _percentage(file),
        "selected": not file.generated,
        "uploadTime": nanoseconds(file.added_at),
        "fileOriginType": "AI_GENERATED" if file.generated else "USER_PROVIDED",
        "session": session,
    }


def _percentage(file: StoredFile) -> float:
    return 100 * file.tokens / _QUOTA_TOKENS
