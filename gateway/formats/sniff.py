"""Media types and image sizes, read from the first bytes; a declared type is not trusted."""

from __future__ import annotations

import io
import re
import struct
from types import MappingProxyType
from typing import BinaryIO, cast

import filetype
import imagesize

from gateway.domain.errors import UnsupportedMediaType
from gateway.domain.media import Blob
from gateway.formats.blobs import RandomBlob, seekable

HEAD_BYTES = 512  # read by `sniff`
MAX_PIXELS = 40_000_000

# Accepted types by filetype's names. Everything else (archives, programs, SVG, …) is unknown.
_ACCEPTED = MappingProxyType(
    {
        **{f"image/{name}": f"image/{name}" for name in ("png", "jpeg", "gif", "webp", "bmp")},
        **{f"image/{name}": f"image/{name}" for name in ("tiff", "heic", "avif")},
        **{f"video/{name}": f"video/{name}" for name in ("mp4", "quicktime", "webm", "mpeg")},
        **{f"video/x-{name}": f"video/x-{name}" for name in ("msvideo", "flv", "ms-wmv")},
        **{f"audio/{name}": f"audio/{name}" for name in ("mpeg", "mp4", "aac", "ogg")},
        **{f"audio/x-{name}": f"audio/{name}" for name in ("wav", "flac", "aiff")},
        "image/apng": "image/png",
        "video/x-m4v": "video/mp4",
        "video/x-matroska": "video/x-matroska",
    }
)
# Types that filetype does not tell, or tells as their next relative.
_SPECIAL = (
    (re.compile(rb"....ftyp3g[p2]", re.DOTALL), "video/3gpp"),
    (re.compile(rb"....ftyp(?:mif1|msf1|heif)(?!.{4,60}(?:hei[cxms]|hev[cx]|avi[fs]))", re.DOTALL),
     "image/heif"),
    (re.compile(rb"....(?:moov|mdat|wide|free|skip)", re.DOTALL), "video/quicktime"),
    (re.compile(rb"\x1a\x45\xdf\xa3(?!.{0,60}webm)", re.DOTALL), "video/x-matroska"),
    (re.compile(rb"OggS.{0,60}theora", re.DOTALL), "video/ogg"),
)  # fmt: skip
_PDF = b"%PDF-"  # a PDF may be plain text throughout
_NEVER_IN_TEXT = re.compile(rb"[\0-\x08\x0e-\x1a\x1c-\x1f\xc0\xc1\xf5-\xff]").search
_SIZED = frozenset(f"image/{name}" for name in ("png", "jpeg", "gif", "webp", "bmp", "tiff"))
_MAX_HEADER_READS = 5000
_MAX_HEADER_BYTES = 1024 * 1024


def sniff(head: bytes) -> str | None:
    """The MIME type of a file that begins with `head`; None for types that are not accepted.

    `head` has HEAD_BYTES or more, or the whole file.
    """
    if head.startswith(_PDF):
        return "application/pdf"
    if not _NEVER_IN_TEXT(head, 0, HEAD_BYTES):  # a text may begin with the letters GIF89a
        return None
    for pattern, mime_type in _SPECIAL:
        if pattern.match(head):
            return mime_type
    return _ACCEPTED.get(filetype.guess_mime(head[:HEAD_BYTES]) or "")


def dimensions(blob: Blob) -> tuple[int, int] | None:
    """Width and height of an image as it is shown, from its header; None for other types.

    Nothing is decoded. Raises UnsupportedMediaType for a broken header and for more than
    MAX_PIXELS.
    """
    source = seekable(blob)
    if sniff(source.read_at(0, HEAD_BYTES)) not in _SIZED:
        return None
    try:
        info = imagesize.get_info(
            cast(BinaryIO, _HeaderReader(source)), dpi=False, colors=False, channels=False
        )
        width, height = info.width, info.height
    except (ValueError, LookupError, struct.error):
        width = height = 0
    if width < 1 or height < 1:
        raise UnsupportedMediaType("The image is broken: its header gives no size")
    if width * height > MAX_PIXELS:
        raise UnsupportedMediaType(
            f"The image has {width} x {height} pixels,"
            f" more than the {MAX_PIXELS // 1_000_000} million that are accepted",
            code="image_too_large",
        )
    return width, height


class _HeaderReader:
    """A blob as a file that ends early, so that a hostile header costs little."""

    def __init__(self, blob: RandomBlob) -> None:
        self._blob = blob
        self._position = 0
        self._reads_left = _MAX_HEADER_READS
        self._bytes_left = _MAX_HEADER_BYTES

    def read(self, size: int = -1) -> bytes:
        wanted = self._bytes_left if size < 0 else size
        self._reads_left -= 1
        self._bytes_left -= wanted
        if self._reads_left < 0 or self._bytes_left < 0:
            raise ValueError("the header is too long")
        data = self._blob.read_at(self._position, wanted)
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = offset + (0, self._position, self._blob.size)[whence]
        return self._position
