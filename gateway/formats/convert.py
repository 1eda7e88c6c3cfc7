"""Draws pictures anew, for vendors that do not take the type they have."""

from __future__ import annotations

import io
import struct
import time
from dataclasses import dataclass
from types import MappingProxyType
from typing import IO, cast

from gateway.domain.errors import UnsupportedMediaType
from gateway.domain.media import Blob
from gateway.formats.blobs import MIB, RandomBlob, Spool, seekable
from gateway.formats.sniff import MAX_PIXELS
from gateway.runtime.cooperative import Threads

# Pillow knows many more; each is code that runs on bytes from anybody.
_FORMATS = MappingProxyType({"image/gif": "GIF", "image/bmp": "BMP", "image/webp": "WEBP"})
_LARGEST_BYTES = 100 * MIB
_CPU_S = 2.0
_FAST = 1  # of zlib's levels
_QUALITY = 92
_LARGE_PIXELS = 4_000_000  # a photograph of this size costs ten times as much as PNG
_AT_ONCE = Threads(2)  # each holds a whole picture in memory, also when nobody waits any more


def can_draw(mime_type: str) -> bool:
    return mime_type in _FORMATS


@dataclass(frozen=True, slots=True)
class Drawn:
    blob: Blob
    digest: str  # SHA-256 in hex
    mime_type: str


def redrawn(blob: Blob, mime_type: str) -> Drawn:
    """The picture, or the first one of an animation, as PNG, or as JPEG if it is large.

    Raises UnsupportedMediaType for what is broken, larger than it said, or takes too long.
    """
    return _AT_ONCE.run(_drawn, seekable(blob), _FORMATS[mime_type])


def _drawn(blob: RandomBlob, form: str) -> Drawn:
    # Here, as it takes time and memory that most workers never need.
    from PIL import Image

    deadline = time.thread_time() + _CPU_S
    with Spool(limit=_LARGEST_BYTES) as spool:
        reader = cast(IO[bytes], _Reader(blob, deadline))
        writer = cast(IO[bytes], _Writer(spool, deadline))
        try:
            with Image.open(reader, formats=[form]) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    raise UnsupportedMediaType(
                        "The picture is larger than its header says", code="image_too_large"
                    )
                if picture.mode == "RGB" and picture.width * picture.height > _LARGE_PIXELS:
                    picture.save(writer, "JPEG", quality=_QUALITY)
                    found = "image/jpeg"
                else:
                    picture.save(writer, "PNG", compress_level=_FAST)
                    found = "image/png"
        except _TooSlow as err:
            raise UnsupportedMediaType("The picture takes too long to convert") from err
        except (*_BROKEN, Image.DecompressionBombError, Image.DecompressionBombWarning) as err:
            raise UnsupportedMediaType("The picture is broken and cannot be converted") from err
        return Drawn(*spool.finish(), found)


class _TooSlow(Exception):
    """The decoder has had its share of the processor."""


# What Pillow raises for damaged files depends on where the damage is.
_BROKEN = (
    OSError,
    SyntaxError,
    ValueError,
    LookupError,
    TypeError,
    ArithmeticError,
    EOFError,
    MemoryError,
    struct.error,
)


class _Reader(io.RawIOBase):
    """A blob as a file, which ends the work when its time is up: threads cannot be ended."""

    def __init__(self, blob: RandomBlob, deadline: float) -> None:
        self._blob = blob
        self._deadline = deadline
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        _check(self._deadline)
        data = self._blob.read_at(self._at, self._blob.size if size < 0 else size)
        self._at += len(data)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = (0, self._at, self._blob.size)[whence]
        if base + offset < 0:
            raise ValueError("before the beginning")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        return self._at


class _Writer(io.RawIOBase):
    def __init__(self, spool: Spool, deadline: float) -> None:
        self._spool = spool
        self._deadline = deadline

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        _check(self._deadline)
        self._spool.write(bytes(data))
        return len(data)


def _check(deadline: float) -> None:
    if time.thread_time() > deadline:
        raise _TooSlow
