"""Conversion of images from untrusted files."""

from __future__ import annotations

import hashlib
import io
import random
import struct
import time

import pytest
from PIL import Image

from gateway.domain.errors import UnsupportedMediaType
from gateway.formats import convert
from gateway.formats.blobs import BytesBlob
from gateway.formats.convert import can_convert, convert_image


def image_bytes(form: str, size: tuple[int, int] = (40, 30), mode: str = "RGB", **options) -> bytes:
    out = io.BytesIO()
    Image.new(mode, size, 0).save(out, form, **options)
    return out.getvalue()


def gif(frames: int, size: tuple[int, int] = (40, 30)) -> bytes:
    out = io.BytesIO()
    first, *more = (Image.new("L", size, shade % 256) for shade in range(frames))
    first.save(out, "GIF", save_all=True, append_images=more)
    return out.getvalue()


def converted(data: bytes, mime_type: str) -> Image.Image:
    found = convert_image(BytesBlob(data), mime_type)
    content = b"".join(found.blob.chunks())
    assert found.digest == hashlib.sha256(content).hexdigest()
    image = Image.open(io.BytesIO(content), formats=["PNG", "JPEG"])
    assert found.mime_type == Image.MIME[image.format]
    return image


@pytest.mark.parametrize(
    ("mime_type", "data"),
    [
        ("image/gif", image_bytes("GIF")),
        ("image/bmp", image_bytes("BMP")),
        ("image/bmp", image_bytes("BMP", mode="1")),
        ("image/webp", image_bytes("WEBP", mode="RGBA")),
        ("image/gif", gif(5)),
    ],
)
def test_an_image_keeps_its_size_and_only_one_frame_remains(mime_type, data):
    image = converted(data, mime_type)
    image.load()
    assert image.size == (40, 30)
    assert image.n_frames == 1


@pytest.mark.parametrize(("side", "form"), [(100, "PNG"), (2100, "JPEG")])
def test_a_large_photograph_becomes_a_jpeg(side, form):
    assert converted(image_bytes("BMP", (side, side)), "image/bmp").format == form


def test_transparency_survives():
    out = io.BytesIO()
    image = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    image.putpixel((3, 3), (0, 0, 255, 255))
    image.save(out, "GIF")
    pixels = converted(out.getvalue(), "image/gif").convert("RGBA")
    assert pixels.getpixel((0, 0))[3] == 0
    assert pixels.getpixel((3, 3)) == (0, 0, 255, 255)


@pytest.mark.parametrize("mime_type", ["image/heic", "image/tiff", "image/avif", "image/svg+xml"])
def test_other_types_have_no_decoder(mime_type):
    assert not can_convert(mime_type)


def test_a_frame_larger_than_its_animation_is_refused_unread():
    head = b"GIF89a" + struct.pack("<HH", 1, 1) + bytes(3)
    frame = b"," + struct.pack("<HHHH", 0, 0, 65535, 65535) + b"\x80" + bytes(6)
    with pytest.raises(UnsupportedMediaType):
        converted(head + frame + b"\x02\x02\x4c\x01\x00;", "image/gif")


def test_an_endless_preamble_ends_when_its_time_is_up(monkeypatch):
    monkeypatch.setattr(convert, "_MAX_CPU_S", 0.1)
    comments = b"\x21\xfe\x01x\x00" * 2_000_000
    head = image_bytes("GIF")[:13]
    started = time.thread_time()
    with pytest.raises(UnsupportedMediaType):
        converted(head + comments, "image/gif")
    assert time.thread_time() - started < 0.5


@pytest.mark.parametrize("form", ["GIF", "BMP", "WEBP"])
def test_damaged_images_are_converted_or_refused(form):
    good = image_bytes(form) if form != "GIF" else gif(3)
    chance = random.Random(form)
    for _ in range(300):
        data = bytearray(good[: chance.randrange(12, len(good) + 1)])
        for _ in range(chance.randrange(4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        try:
            converted(bytes(data), f"image/{form.lower()}")
        except UnsupportedMediaType:
            continue
