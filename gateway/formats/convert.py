"""Images converted to PNG or JPEG for vendors that do not accept their type."""

from __future__ import annotations

import hashlib
import io
import os
import struct
import tempfile
import time
from dataclasses import dataclass
from types import MappingProxyType

from gateway.domain.errors import StorageUnavailable, UnsupportedMediaType
from gateway.domain.media import Blob
from gateway.formats.blobs import FileBlob
from gateway.formats.sniff import MAX_PIXELS
from gateway.runtime.cooperative import ThreadPool

# Pillow knows many more; each is code that runs on untrusted bytes.
_FORMATS = MappingProxyType({"image/gif": "GIF", "image/bmp": "BMP", "image/webp": "WEBP"})
_MAX_CPU_S = 2.0
_LARGE_PIXELS = 4_000_000  # as PNG, a photograph of this size has ten times the bytes of a JPEG
_THREADS = ThreadPool(2)  # each holds a decoded image in memory

# Pillow's errors for damaged files depend on where the damage is.
_BROKEN = (
    SyntaxError,
    ValueError,
    LookupError,
    TypeError,
    ArithmeticError,
    EOFError,
    MemoryError,
    struct.error,
)


@dataclass(frozen=True, slots=True)
class ConvertedImage:
    blob: Blob
    digest: str  # SHA-256 in hex
    mime_type: str


def can_convert(mime_type: str) -> bool:
    return mime_type in _FORMATS


def convert_image(blob: Blob, mime_type: str) -> ConvertedImage:
    """Convert an image, or the first frame of an animation, to PNG, or to JPEG if it is large.

    Raises UnsupportedMediaType for a broken image, for one that is larger than its header
    says, and for one that takes too long; StorageUnavailable when the disk is full.
    """
    return _THREADS.run(_convert, blob, _FORMATS[mime_type])


def _convert(blob: Blob, pillow_format: str) -> ConvertedImage:
    from PIL import Image  # imported late: most workers never need its memory

    source = _TimedReader(b"".join(blob.chunks()))
    try:
        with (
            Image.open(source, formats=[pillow_format]) as image,
            tempfile.TemporaryFile() as target,
        ):
            pixels = image.width * image.height
            if pixels > MAX_PIXELS:
                raise UnsupportedMediaType(
                    "The image is larger than its header says", code="image_too_large"
                )
            if image.mode == "RGB" and pixels > _LARGE_PIXELS:
                mime_type = "image/jpeg"
                image.save(target, "JPEG", quality=92)
            else:
                mime_type = "image/png"
                image.save(target, "PNG", compress_level=1)
            target.seek(0)
            digest = hashlib.file_digest(target, "sha256").hexdigest()
            return ConvertedImage(FileBlob(os.dup(target.fileno())), digest, mime_type)
    except _TooSlow as err:
        raise UnsupportedMediaType("The image takes too long to convert") from err
    except OSError as err:
        if err.errno:  # the temporary file's; Pillow's own have no number
            raise StorageUnavailable("There is no room for a temporary file") from err
        raise UnsupportedMediaType("The image is broken and cannot be converted") from err
    except (*_BROKEN, Image.DecompressionBombError, Image.DecompressionBombWarning) as err:
        raise UnsupportedMediaType("The image is broken and cannot be converted") from err


class _TooSlow(Exception):
    """The decoder has used up its CPU time."""


class _TimedReader(io.BytesIO):
    """A file that fails once its thread has used up its CPU time: threads cannot be ended."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._deadline = time.thread_time() + _MAX_CPU_S

    def read(self, size: int | None = -1, /) -> bytes:
        if time.thread_time() > self._deadline:
            raise _TooSlow
        return super().read(size)
