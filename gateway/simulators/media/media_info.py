"""Kind, type and size of media, read from their bytes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, UnidentifiedImageError

_IMAGE_FORMATS = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "GIF": "image/gif",
    "WEBP": "image/webp",
    "BMP": "image/bmp",
    "TIFF": "image/tiff",
}
_HEIF_BRANDS = {
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"mif1": "image/heif",
    b"msf1": "image/heif",
}
_PREFIXES = (
    (b"\x1aE\xdf\xa3", "video/webm"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
    (b"ID3", "audio/mp3"),
    (b"\xff\xfb", "audio/mp3"),
    (b"\xff\xf3", "audio/mp3"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
)
_KINDS = {"application/pdf": "document", "application/zip": "document", "text/plain": "text"}


@dataclass(frozen=True, slots=True)
class MediaInfo:
    """One medium. Width and height, in pixels, are 0 where unknown, as is the length."""

    kind: str
    mime: str
    width: int
    height: int
    size: int
    seconds: float = 0


def describe(data: bytes) -> MediaInfo:
    """Recognize media by their bytes, not by declared type or file name."""
    mime = _container(data)
    if mime is not None:
        width, height = _heif_size(data) if mime in _HEIF_BRANDS.values() else (0, 0)
        kind = _KINDS.get(mime, mime.partition("/")[0])
        return MediaInfo(kind, mime, width, height, len(data), _mp4_seconds(data))
    try:
        with Image.open(io.BytesIO(data), formats=tuple(_IMAGE_FORMATS)) as image:
            width, height = image.size
            return MediaInfo("image", _IMAGE_FORMATS[image.format or ""], width, height, len(data))
    except (
        UnidentifiedImageError,
        OSError,
        ValueError,
        Image.DecompressionBombError,
        Image.DecompressionBombWarning,
    ):
        pass
    if _is_text(data):
        return MediaInfo("text", "text/plain", 0, 0, len(data))
    return MediaInfo("other", "application/octet-stream", 0, 0, len(data))


def describe_attachments(media: Sequence[MediaInfo]) -> str:
    """Report attachments, as in `I see 1 attachment: image/png 64x48 (1234 bytes).`"""
    if not media:
        return ""
    listed = ", ".join(
        f"{one.mime} {one.width}x{one.height} ({one.size} bytes)"
        if one.width
        else f"{one.mime} ({one.size} bytes)"
        for one in media
    )
    noun = "attachment" if len(media) == 1 else "attachments"
    return f"I see {len(media)} {noun}: {listed}."


def _container(data: bytes) -> str | None:
    if data[4:8] == b"ftyp":
        brand = data[8:12]
        if brand in _HEIF_BRANDS:
            return _HEIF_BRANDS[brand]
        if brand == b"M4A ":
            return "audio/mp4"
        return "video/quicktime" if brand == b"qt  " else "video/mp4"
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return "audio/wav"
    return next((mime for prefix, mime in _PREFIXES if data.startswith(prefix)), None)


def _heif_size(data: bytes) -> tuple[int, int]:
    """Read the first `ispe` property: version and flags, then width and height."""
    at = data.find(b"ispe")
    if at < 0 or len(data) < at + 16:
        return 0, 0
    return int.from_bytes(data[at + 8 : at + 12]), int.from_bytes(data[at + 12 : at + 16])


def _mp4_seconds(data: bytes) -> float:
    """Read the length from the movie header (version 0); 0 where there is none."""
    at = data.find(b"mvhd")
    if at < 0 or len(data) < at + 24 or data[at + 4]:
        return 0
    scale = int.from_bytes(data[at + 16 : at + 20])
    return int.from_bytes(data[at + 20 : at + 24]) / scale if scale else 0


def _is_text(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return bool(data) and b"\0" not in data
