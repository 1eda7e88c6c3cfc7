"""Pictures that were made to hurt, and things that only call themselves pictures."""

from __future__ import annotations

import io
import os
import random
import struct
import zlib

from PIL import Image

from tests.support.media import mp4, png


def chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_of(side: int, *more: bytes) -> bytes:
    """A 1-bit PNG of side² pixels in a few kilobytes, with more chunks before its pixels."""
    rows = zlib.compressobj(9)
    row = bytes((side + 7) // 8 + 1)
    data = b"".join([*(rows.compress(row) for _ in range(side)), rows.flush()])
    head = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    chunks = (chunk(b"IHDR", head), *more, chunk(b"IDAT", data), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def gif_of(frames: int, side: int) -> bytes:
    """An animation whose frames are a pixel each, on a canvas of side² pixels."""
    frame = b"\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0"
    return (
        b"GIF89a" + struct.pack("<HH", side, side) + b"\x80\0\0" + bytes(6) + frame * frames + b";"
    )


def apng_of(frames: int) -> bytes:
    control = chunk(b"acTL", struct.pack(">II", frames, 0))
    shown = chunk(b"fcTL", struct.pack(">IIIIIHHBB", 0, 8, 8, 0, 0, 1, 10, 0, 0))
    return png_of(8, control, *[shown] * frames)


def text_bomb(kind: bytes) -> bytes:
    """A PNG with 100 MB of compressed text in each of ten chunks."""
    squeezed = zlib.compress(bytes(100_000_000), 9)
    head = b"Comment\0\0" if kind == b"zTXt" else b"Comment\0\1\0\0\0"
    return png_of(8, *[chunk(kind, head + squeezed)] * 10)


def large_animation() -> bytes:
    frame = Image.new("P", (9000, 9000))
    out = io.BytesIO()
    frame.save(out, "GIF", save_all=True, append_images=[frame] * 3, duration=10)
    return out.getvalue()


def tiff() -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "TIFF")
    return out.getvalue()


# Refused from their header: more pixels than anybody needs.
BOMBS = {
    "12,000 pixels square": png_of(12_000),
    "14,000 pixels square": png_of(14_000),
    "a JPEG of 65,500 pixels square": b"\xff\xd8\xff\xc0\0\x11\x08"
    + struct.pack(">HH", 65500, 65500)
    + bytes(20),
    "a WebP of 16,383 pixels square": b"RIFF\xff\xff\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0"
    + b"\xfe\x3f\0" * 2,
    "a GIF of 65,535 pixels square": gif_of(20_000, 65535),
    "a large animation": large_animation(),
}
# No pictures, or none that anything here decodes.
STRANGERS = {
    "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    "EPS for DOS": b"\xc5\xd0\xd3\xc6" + struct.pack("<II", 32, 100) + bytes(200),
    "SVG": b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>",
    "SVG in XML": b"<?xml version='1.0'?><!DOCTYPE svg [<!ENTITY a SYSTEM 'file:///etc/passwd'>]>"
    b"<svg xmlns='http://www.w3.org/2000/svg'>&a;</svg>",
    "PSD": b"8BPS\0\1" + bytes(100),
    "TIFF": tiff(),
    "DDS": b"DDS " + struct.pack("<I", 124) + bytes(200),
    "FITS": b"SIMPLE  =                    T".ljust(2880),
    "ICO": b"\0\0\1\0\1\0" + struct.pack("<BBBBHHII", 0, 0, 0, 0, 1, 32, 2**31, 22) + bytes(99),
    "JPEG 2000": b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(100),
    "PDF": b"%PDF-1.7\n" + bytes(100),
    "HTML": b"<html><script>alert(1)</script></html>",
    "an MP4": mp4(),
    "the head of an MP4": b"\0\0\0\x18ftypmp42",
    "nothing": b"",
    "noise": random.Random(4).randbytes(5000),
    "zeros": bytes(5000),
}
# Pictures by their header, so a vendor may get them.
ODD = {
    "truncated": png(400, 300)[:60],
    "20,000 frames": gif_of(20_000, 1),
    "an APNG of 20,000 frames": apng_of(20_000),
    "compressed text": text_bomb(b"zTXt"),
    "compressed text of the other kind": text_bomb(b"iTXt"),
}


def noise_film(size: int) -> bytes:
    """A playable film with a free box that makes it this large."""
    head = mp4()
    free = size - len(head)
    return head + struct.pack(">I4s", free, b"free") + os.urandom(free - 8)
