"""Images that a simulated model draws: the prompt on a colour made from it."""

from __future__ import annotations

import hashlib
import io
import struct
import textwrap
import zlib
from functools import lru_cache
from typing import Literal

from PIL import Image, ImageDraw, ImageFont

Format = Literal["PNG", "JPEG", "WEBP"]

_LINES = 16
_PNG_HEAD = 33  # bytes of the signature and the IHDR chunk


@lru_cache(maxsize=64)
def generate_image(
    prompt: str,
    width: int,
    height: int,
    format: Format = "PNG",
    *,
    mark: str = "",
    transparent: bool = False,
) -> bytes:
    """Return an image of exactly this size in pixels; `mark` is written bottom right."""
    if transparent:
        image = Image.new("RGBA", (width, height), (0, 0, 0, 0))
    else:
        image = Image.new("RGB", (width, height), _colour(prompt))
    pen = ImageDraw.Draw(image)
    size = max(8, min(width, height) // 20)
    font = ImageFont.load_default(size)
    columns = max(8, int(width * 0.9 / (size * 0.55)))
    text = "\n".join(textwrap.wrap(prompt, columns)[:_LINES])
    pen.multiline_text((width * 0.05, height * 0.05), text, fill="white", font=font)
    if mark:
        pen.text((width * 0.97, height * 0.97), mark, fill="white", font=font, anchor="rs")
    data = io.BytesIO()
    if format == "PNG":
        image.save(data, "PNG", compress_level=1)
    else:
        image.save(data, format, quality=80)
    return data.getvalue()


def with_comment(image: bytes, comment: bytes) -> bytes:
    """Return the same JPEG or PNG with other bytes: a model never makes an image twice."""
    if image.startswith(b"\xff\xd8"):
        return image[:2] + b"\xff\xfe" + struct.pack(">H", len(comment) + 2) + comment + image[2:]
    chunk = b"tEXtnote\0" + comment
    length, check = struct.pack(">I", len(chunk) - 4), struct.pack(">I", zlib.crc32(chunk))
    return image[:_PNG_HEAD] + length + chunk + check + image[_PNG_HEAD:]


def _colour(prompt: str) -> tuple[int, int, int]:
    """Return a dark colour, the same for the same prompt, that white text can be read on."""
    red, green, blue = hashlib.sha256(prompt.encode()).digest()[:3]
    return red // 2 + 16, green // 2 + 16, blue // 2 + 16
