"""Media in prompts: inline, by the URI of an uploaded file, or by a public URL."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from flask import request

from gateway.simulators.gemini.errors import no_such_file
from gateway.simulators.gemini.files import Files
from gateway.simulators.google.errors import failed_precondition, invalid
from gateway.simulators.media.inputs import Unreadable, load
from gateway.simulators.media.media_info import MediaInfo, describe
from gateway.simulators.state import current_state

_HOST = "generativelanguage.googleapis.com"
_FILE_PATH = re.compile(r"files/([a-z0-9-]{1,40})")
_FILE_URI = re.compile(r"https?://([^/]+)/(?:gemini/)?v1(?:beta)?/files/([a-z0-9-]{1,40})")

_TYPES = re.compile(
    r"image/(png|jpeg|webp|heic|heif|gif|bmp|tiff)"
    r"|video/(mp4|mpeg|mov|quicktime|avi|x-flv|mpg|webm|wmv|3gpp)"
    r"|audio/(wav|x-wav|mp3|mpeg|aiff|aac|ogg|flac|mp4|m4a|l16|webm|opus)(;.*)?"
    r"|application/(pdf|json|xml|rtf|x-javascript|javascript|x-python)|text/.+"
)


def inline(blob: Mapping[str, Any], where: str) -> MediaInfo:
    """Return the description of inline data; raises GoogleError."""
    mime, data = blob.get("mimeType", ""), blob.get("data", b"")
    if not mime:
        raise invalid(f"* {where}.inline_data.mime_type: must not be empty.\n")
    if not data:
        raise invalid(f"* {where}.inline_data.data: must not be empty.\n")
    return _checked(data, mime)


def referenced(file_data: Mapping[str, Any], credential: str, where: str) -> MediaInfo:
    """Return the description of a file or of the content of a URL; raises GoogleError."""
    uri = file_data.get("fileUri", "")
    if not uri:
        raise invalid(f"* {where}.file_data.file_uri: must not be empty.\n")
    file_id = _own_file(uri)
    if file_id is None:
        return _fetched(uri, file_data.get("mimeType", ""))
    file = current_state().store(Files).find(file_id, credential)
    if file is None:
        raise no_such_file(file_id)
    if file.state != "ACTIVE":
        raise failed_precondition(
            f"The File {file_id} is not in an ACTIVE state and usage is not allowed."
        )
    return _checked(file.read(), file.mime)


def _own_file(uri: str) -> str | None:
    if match := _FILE_PATH.fullmatch(uri):
        return match[1]
    match = _FILE_URI.fullmatch(uri.partition(":download")[0].partition("?")[0])
    return match[2] if match and match[1] in (_HOST, request.host) else None


def _fetched(uri: str, mime: str) -> MediaInfo:
    if not uri.startswith(("http://", "https://")):
        raise invalid(f"Invalid or unsupported file uri: {uri}")
    try:
        loaded = load(uri)
    except Unreadable as problem:
        raise invalid("Cannot fetch content from the provided URL.") from problem
    return _checked(loaded.data, mime or loaded.declared_mime)


def _checked(data: bytes, mime: str) -> MediaInfo:
    """Compare the type of the data with the declared type."""
    if not _TYPES.fullmatch(mime):
        raise invalid(f"Unsupported MIME type: {mime}")
    seen = describe(data)
    claimed = mime.partition("/")[0]
    if claimed == "image" and seen.kind != "image":
        raise invalid(
            "Unable to process input image. Please retry or report in "
            "https://developers.generativeai.google/guide/troubleshooting"
        )
    if claimed == "video" and seen.kind != "video":
        raise invalid("The video is corrupted or in a format that is not supported.")
    if mime == "application/pdf" and seen.mime != mime:
        raise invalid("The document has no pages.")
    return seen
