"""Identification of images, videos, sounds and files by their bytes."""

from __future__ import annotations

import codecs
from dataclasses import dataclass
from types import MappingProxyType

from gateway.domain.errors import UnsupportedMediaType
from gateway.domain.media import Blob, MediaKind
from gateway.formats.sniff import dimensions, sniff

_HEAD_BYTES = 4096  # enough to tell text from noise
_IMAGE_FORMATS = ("png", "jpeg", "webp", "gif", "bmp", "heic", "heif")
_IMAGE_TYPES = frozenset(f"image/{name}" for name in _IMAGE_FORMATS)
# Sound alone travels in these containers too, and a sniffer cannot tell.
_SOUND_CONTAINERS = MappingProxyType({"video/mp4": "audio/mp4", "video/webm": "audio/webm"})
_DOCUMENTS = frozenset({"application/pdf", "text/plain"})


@dataclass(frozen=True, slots=True)
class Identity:
    kind: MediaKind
    mime_type: str
    width: int | None = None
    height: int | None = None


def identify(kind: MediaKind, blob: Blob) -> Identity:
    """Kind and type of `blob`, which was sent as `kind`; `file` is replaced by the kind found.

    Raises UnsupportedMediaType, also for images that are broken or too large to decode.
    """
    head = _head(blob)
    found = sniff(head)
    if found is None and kind == "file" and _is_text(head):
        found = "text/plain"
    mime_type = _SOUND_CONTAINERS.get(found or "", found) if kind == "audio" else found
    if mime_type is None or not _fits(kind, mime_type):
        raise UnsupportedMediaType(_refusal(kind, found))
    if mime_type in _IMAGE_TYPES:
        width, height = dimensions(blob) or (None, None)
        return Identity("image", mime_type, width, height)
    return Identity(_kind_of(mime_type), mime_type)


def _kind_of(mime_type: str) -> MediaKind:
    family = mime_type.partition("/")[0]
    if family == "video":
        return "video"
    return "audio" if family == "audio" else "file"


def _fits(kind: MediaKind, mime_type: str) -> bool:
    if mime_type.startswith("image/") and mime_type not in _IMAGE_TYPES:
        return False
    if kind == "image":
        return mime_type in _IMAGE_TYPES
    if kind == "file":
        return mime_type in _DOCUMENTS or mime_type.startswith(("image/", "video/", "audio/"))
    return mime_type.startswith(f"{kind}/")


def _refusal(kind: MediaKind, found: str | None) -> str:
    what = f"The content is {found}" if found else "The content is of no known type"
    if kind == "image":
        return f"{what}, not a picture. Send one of {', '.join(_IMAGE_FORMATS)}."
    if kind == "file":
        return f"{what}. Send a picture, a video, a sound, a PDF or plain text."
    return f"{what}, not {'a video' if kind == 'video' else 'a sound'}."


def _head(blob: Blob) -> bytes:
    head = b""
    for chunk in blob.chunks():
        head += chunk[: _HEAD_BYTES - len(head)]
        if len(head) == _HEAD_BYTES:
            break
    return head


def _is_text(head: bytes) -> bool:
    if not head or b"\0" in head:
        return False
    try:
        # Incremental, as the head may end within a character.
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True
