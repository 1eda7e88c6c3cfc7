"""What bytes are, by looking at them; what they are declared to be counts for nothing."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable

from gateway.domain.errors import UnsupportedMediaType
from gateway.domain.media import Blob
from gateway.formats.blobs import RandomBlob, seekable

HEAD_BYTES = 512  # what `sniff` wants to see
MAX_PIXELS = 40_000_000
_MAX_SEGMENTS = 1000  # of a JPEG before its size, of a TIFF directory

_STARTS: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"\0\0\1\xba", "video/mpeg"),
    (b"\0\0\1\xb3", "video/mpeg"),
    (b"FLV\1", "video/x-flv"),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", "video/x-ms-wmv"),
    (b"ID3", "audio/mpeg"),
    (b"fLaC", "audio/flac"),
)
# Containers: the bytes 8 to 12 after RIFF or FORM, and after ISO's `ftyp`.
_CONTAINERS = {
    (b"RIFF", b"WEBP"): "image/webp",
    (b"RIFF", b"AVI "): "video/x-msvideo",
    (b"RIFF", b"WAVE"): "audio/wav",
    (b"FORM", b"AIFF"): "audio/aiff",
    (b"FORM", b"AIFC"): "audio/aiff",
}
_BRANDS = {
    **dict.fromkeys((b"avif", b"avis"), "image/avif"),
    **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx"), "image/heic"),
    **dict.fromkeys((b"mif1", b"msf1", b"heif"), "image/heif"),
    **dict.fromkeys((b"M4A ", b"M4B "), "audio/mp4"),
    b"qt  ": "video/quicktime",
}
_BMP = re.compile(rb"BM....\0\0\0\0....[\x0c\x28\x34\x38\x40\x6c\x7c]\0\0\0", re.DOTALL).match
_PDF = b"%PDF-"  # the only ones that may be plain text throughout
_NEVER_IN_TEXT = re.compile(rb"[\0-\x08\x0e-\x1a\x1c-\x1f\xc0\xc1\xf5-\xff]").search
_ATOMS = (b"moov", b"mdat", b"wide", b"free", b"skip")


def sniff(head: bytes) -> str | None:
    """The MIME type of a file that begins with `head`; None for what the gateway does not know.

    `head` has HEAD_BYTES or more, or all there is.
    """
    if head.startswith(_PDF):
        return "application/pdf"
    if not _NEVER_IN_TEXT(head, 0, HEAD_BYTES):  # "The wide road" begins as some films do
        return None
    for start, mime_type in _STARTS:
        if head.startswith(start):
            return mime_type
    if container := _CONTAINERS.get((head[:4], head[8:12])):
        return container
    if head[4:8] == b"ftyp":
        return _iso(head)
    if head[4:8] in _ATOMS:
        return "video/quicktime"
    if head.startswith(b"\x1a\x45\xdf\xa3"):
        return "video/webm" if b"webm" in head[:64] else "video/x-matroska"
    if head.startswith(b"OggS"):
        return "video/ogg" if b"theora" in head[:64] else "audio/ogg"
    if _BMP(head):
        return "image/bmp"
    return _audio_frame(head)


def dimensions(blob: Blob) -> tuple[int, int] | None:
    """Width and height of a picture, from its header; None for what has no header known here.

    Nothing is decoded, and the work is the same for every file: an image library that
    is only asked for the size still walks through millions of tiny chunks if it finds them.
    Raises UnsupportedMediaType for a broken header and for more than MAX_PIXELS.
    """
    source = seekable(blob)
    read_header = _HEADERS.get(sniff(source.read_at(0, HEAD_BYTES)) or "")
    if read_header is None:
        return None
    try:
        width, height = read_header(source)
    except (struct.error, _Broken):
        width = height = 0
    if width < 1 or height < 1:
        raise UnsupportedMediaType("The picture is broken: its header gives no size")
    if width * height > MAX_PIXELS:
        raise UnsupportedMediaType(
            f"The picture has {width} x {height} pixels,"
            f" more than the {MAX_PIXELS // 1_000_000} million that are taken",
            code="image_too_large",
        )
    return width, height


class _Broken(Exception):
    """A header that cannot be."""


def _iso(head: bytes) -> str:
    """The type by the major brand of an ISO media file."""
    major = head[8:12]
    if major[:3] in (b"3gp", b"3g2"):
        return "video/3gpp"
    mime_type = _BRANDS.get(major, "video/mp4")
    if mime_type == "image/heif":
        # The brand of all such pictures; the codec's own may be among the compatible ones.
        end = min(int.from_bytes(head[:4], "big"), len(head) - 3)
        compatible = {_BRANDS.get(head[at : at + 4]) for at in range(16, end, 4)}
        return next((t for t in ("image/avif", "image/heic") if t in compatible), mime_type)
    return mime_type


def _audio_frame(head: bytes) -> str | None:
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    if head[1] & 0xF6 == 0xF0:
        return "audio/aac"
    layer3, rate = head[1] & 0x06 == 0x02, head[2] >> 4
    return "audio/mpeg" if layer3 and rate not in (0, 15) else None


def _png(blob: RandomBlob) -> tuple[int, int]:
    kind, width, height = struct.unpack(">4sII", blob.read_at(12, 12))
    if kind != b"IHDR":
        raise _Broken
    return width, height


def _gif(blob: RandomBlob) -> tuple[int, int]:
    width, height = struct.unpack("<HH", blob.read_at(6, 4))
    return width, height


def _bmp(blob: RandomBlob) -> tuple[int, int]:
    (header_bytes,) = struct.unpack("<I", blob.read_at(14, 4))
    if header_bytes == 12:
        width, height = struct.unpack("<HH", blob.read_at(18, 4))
    else:
        width, height = struct.unpack("<ii", blob.read_at(18, 8))
    return width, abs(height)  # negative: the rows run from top to bottom


def _webp(blob: RandomBlob) -> tuple[int, int]:
    """https://developers.google.com/speed/webp/docs/riff_container"""
    kind, data = blob.read_at(12, 4), blob.read_at(20, 10)
    if kind == b"VP8X":
        low_w, high_w, low_h, high_h = struct.unpack("<HBHB", data[4:])
        return (high_w << 16 | low_w) + 1, (high_h << 16 | low_h) + 1
    if kind == b"VP8L" and data[:1] == b"\x2f":
        (packed,) = struct.unpack("<I", data[1:5])
        return (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and data[3:6] == b"\x9d\x01\x2a":
        width, height = struct.unpack("<HH", data[6:])
        return width & 0x3FFF, height & 0x3FFF
    raise _Broken


def _jpeg(blob: RandomBlob) -> tuple[int, int]:
    """The size is in the start of frame, behind any number of other segments."""
    offset = 2
    for _ in range(_MAX_SEGMENTS):
        mark, kind, length, _, height, width = struct.unpack(">BBHBHH", blob.read_at(offset, 9))
        if mark != 0xFF:
            break
        if kind == 0xFF:  # padding
            offset += 1
        elif 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            return width, height
        elif kind in (0xD9, 0xDA) or length < 2:
            break
        else:
            offset += 2 + length
    raise _Broken


def _tiff(blob: RandomBlob) -> tuple[int, int]:
    order = "<" if blob.read_at(0, 2) == b"II" else ">"
    (offset,) = struct.unpack(order + "I", blob.read_at(4, 4))
    (count,) = struct.unpack(order + "H", blob.read_at(offset, 2))
    found: dict[int, int] = {}
    for index in range(min(count, _MAX_SEGMENTS)):
        entry = blob.read_at(offset + 2 + 12 * index, 12)
        tag, kind, _, value = struct.unpack(order + "HHI4s", entry)
        # A short value stands in the first half of the field.
        found[tag] = struct.unpack(order + ("H2x" if kind == 3 else "I"), value)[0]
    return found.get(256, 0), found.get(257, 0)


_HEADERS: dict[str, Callable[[RandomBlob], tuple[int, int]]] = {
    "image/png": _png,
    "image/jpeg": _jpeg,
    "image/gif": _gif,
    "image/webp": _webp,
    "image/bmp": _bmp,
    "image/tiff": _tiff,
}
