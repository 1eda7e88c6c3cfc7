"""What a file is follows from its bytes, and a picture's size from its header alone."""

from __future__ import annotations

import base64
import io
import random
import struct
import zlib

import pytest
from PIL import Image

from gateway.domain.errors import UnsupportedMediaType
from gateway.formats.blobs import BytesBlob, decode_base64
from gateway.formats.sniff import HEAD_BYTES, MAX_PIXELS, dimensions, sniff


def picture(kind: str, size=(321, 123), mode="RGB", **options) -> bytes:
    out = io.BytesIO()
    Image.new(mode, size).save(out, kind, **options)
    return out.getvalue()


def ftyp(major: bytes, *compatible: bytes) -> bytes:
    brands = b"".join(compatible)
    return struct.pack(">I", 16 + len(brands)) + b"ftyp" + major + b"\0\0\0\0" + brands + b"\0" * 20


EBML = b"\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\xf7\x81\x01\x42\x82\x84"
MAGIC = [
    (picture("PNG"), "image/png"),
    (picture("JPEG"), "image/jpeg"),
    (picture("GIF"), "image/gif"),
    (picture("WEBP"), "image/webp"),
    (picture("BMP"), "image/bmp"),
    (picture("TIFF"), "image/tiff"),
    (picture("AVIF"), "image/avif"),
    (ftyp(b"heic", b"mif1", b"heic"), "image/heic"),
    (ftyp(b"mif1", b"mif1", b"heic"), "image/heic"),
    (ftyp(b"mif1", b"mif1", b"avif"), "image/avif"),
    (ftyp(b"mif1", b"mif1"), "image/heif"),
    (ftyp(b"isom", b"isom", b"avc1"), "video/mp4"),
    (ftyp(b"mp42"), "video/mp4"),
    (ftyp(b"qt  ", b"qt  "), "video/quicktime"),
    (ftyp(b"3gp5", b"isom"), "video/3gpp"),
    (ftyp(b"M4A ", b"isom"), "audio/mp4"),
    (b"\0\0\0\x08wide\0\0\0\0mdat", "video/quicktime"),
    (EBML + b"webm", "video/webm"),
    (EBML + b"matroska", "video/x-matroska"),
    (b"RIFF\0\0\0\0AVI LIST", "video/x-msvideo"),
    (b"RIFF\0\0\0\0WAVEfmt ", "audio/wav"),
    (b"\0\0\x01\xba\x44", "video/mpeg"),
    (b"\0\0\x01\xb3\x14", "video/mpeg"),
    (b"FLV\x01\x05", "video/x-flv"),
    (bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"), "video/x-ms-wmv"),
    (b"ID3\x04\0", "audio/mpeg"),
    (b"\xff\xfb\x90\x64", "audio/mpeg"),
    (b"\xff\xf3\x40\xc0", "audio/mpeg"),
    (b"\xff\xf1\x50\x80", "audio/aac"),
    (b"OggS\0\x02" + b"\0" * 22 + b"\x01vorbis", "audio/ogg"),
    (b"OggS\0\x02" + b"\0" * 22 + b"\x80theora", "video/ogg"),
    (b"fLaC\0\0\0\x22", "audio/flac"),
    (b"FORM\0\0\0\0AIFFCOMM", "audio/aiff"),
    (b"%PDF-1.7\n", "application/pdf"),
    (b"", None),
    (b"hello", None),
    (b"<html><body>", None),
    (b"<svg xmlns='http://www.w3.org/2000/svg'>", None),
    (b"%!PS-Adobe-3.0 EPSF-3.0", None),
    (b"8BPS\0\x01", None),
    (b"BM is how a letter may begin", None),
    (b"\xff\xfeh\0i\0", None),
    (b"\xef\xbb\xbf{}", None),
    (b"PK\x03\x04", None),
    (b"RIFF\0\0\0\0ACON", None),
    (b"Get free tickets", None),
    (b"The wide road\r\n", None),
    (b"Now skip this", None),
    (b"The moov atom and\tthe mdat atom", None),
    ("Où free, demande-t-il".encode(), None),
    (b"The ftypes of a text", None),
    (b"ID3 is a tag", None),
    (b"ID3\n", None),
    (b"fLaC is how such files begin", None),
    (b"OggS, too", None),
    (b"RIFF as in WAVE", None),
    (b"GIF89a is a format", None),
    (b"    mdat\x00\x00\x01\xb6 \x1b[31m", "video/quicktime"),
]


@pytest.mark.parametrize(("data", "mime_type"), MAGIC, ids=lambda value: repr(value)[:30])
def test_type_follows_from_the_first_bytes(data, mime_type):
    assert sniff(data[:HEAD_BYTES]) == mime_type


@pytest.mark.parametrize(
    "data",
    [
        picture("PNG"),
        picture("PNG", mode="1"),
        picture("JPEG"),
        picture("JPEG", progressive=True),
        picture("JPEG", exif=b"Exif\0\0" + b"x" * 60_000, icc_profile=b"y" * 200_000),
        picture("GIF"),
        picture("WEBP"),
        picture("WEBP", lossless=True, mode="RGBA"),
        picture("WEBP", save_all=True, append_images=[Image.new("RGB", (321, 123), "red")]),
        picture("BMP"),
        picture("TIFF"),
        picture("TIFF", compression="tiff_lzw"),
    ],
    ids=lambda data: sniff(data),
)
def test_size_is_what_the_picture_has(data):
    assert dimensions(BytesBlob(data)) == (321, 123)
    in_base64, _ = decode_base64(base64.b64encode(data), limit=len(data))
    assert dimensions(in_base64) == (321, 123)


def test_size_of_other_blobs_than_our_own_is_found_too():
    class Blob:
        data = picture("JPEG", exif=b"Exif\0\0" + b"x" * 60_000)
        size = len(data)

        def chunks(self):
            return (self.data[at : at + 100] for at in range(0, self.size, 100))

    assert dimensions(Blob()) == (321, 123)


@pytest.mark.parametrize("data", [b"", b"hello", picture("AVIF"), ftyp(b"heic"), ftyp(b"isom")])
def test_file_without_a_known_picture_header_has_no_size(data):
    assert dimensions(BytesBlob(data)) is None


def png(width: int, height: int) -> bytes:
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n\0\0\0\r" + header + struct.pack(">I", zlib.crc32(header))


def gif(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\0\0\0;"


def webp(width: int, height: int) -> bytes:
    packed = (width - 1 | (height - 1) << 14).to_bytes(4, "little")
    return b"RIFF\0\0\0\0WEBPVP8L\0\0\0\0\x2f" + packed


def jpeg(width: int, height: int) -> bytes:
    frame = struct.pack(">BBHBHH", 0xFF, 0xC0, 11, 8, height, width)
    return b"\xff\xd8" + frame + b"\x01\x01\x11\0"


def bmp(width: int, height: int) -> bytes:
    return b"BM" + b"\0" * 12 + struct.pack("<Iii", 40, width, height) + b"\0" * 28


def tiff(width: int, height: int) -> bytes:
    entries = struct.pack("<HHIIHHII", 256, 4, 1, width, 257, 4, 1, height)
    return b"II*\0\x08\0\0\0\x02\0" + entries


@pytest.mark.parametrize("make", [png, gif, webp, jpeg, bmp, tiff])
def test_bomb_is_refused_by_its_header(make):
    assert dimensions(BytesBlob(make(8000, 5000))) == (8000, 5000)
    assert MAX_PIXELS == 8000 * 5000
    with pytest.raises(UnsupportedMediaType, match="million"):
        dimensions(BytesBlob(make(8000, 5001)))
    with pytest.raises(UnsupportedMediaType, match="million"):
        dimensions(BytesBlob(make(16383, 16383)))


@pytest.mark.parametrize(
    "data",
    [
        png(0, 10),
        gif(0, 0),
        jpeg(10, 0),
        bmp(-10, 10),
        tiff(0, 10),
        png(10, 10)[:20],
        b"\x89PNG\r\n\x1a\n\0\0\0\rIDAT" + b"\0" * 20,
        gif(10, 10)[:8],
        webp(10, 10)[:22],
        b"RIFF\0\0\0\0WEBPVP8 " + b"\0" * 20,
        jpeg(10, 10)[:6],
        b"\xff\xd8\xff\xd9" + b"\0" * 20,
        b"\xff\xd8\xff\xda\0\x08" + b"\0" * 20,
        b"\xff\xd8\xff\xe0\0\0" + b"\0" * 20,
        b"\xff\xd8\xff\xe0\xff\xff",
        b"\xff\xd8" + b"\xff" * 5000,
        b"\xff\xd8" + b"\xff\xe0\0\x02" * 5000,
        b"II*\0\x08\0\0\0\xff\xff" + b"\0" * 20,
        b"MM\0*" + b"\0" * 20,
    ],
)
def test_broken_header_is_refused(data):
    with pytest.raises(UnsupportedMediaType, match="broken"):
        dimensions(BytesBlob(data))


def test_mutilated_pictures_give_a_size_a_refusal_or_nothing():
    randomly = random.Random(1)
    originals = [data for data, _ in MAGIC[:7]]
    for _ in range(5000):
        data = bytearray(randomly.choice(originals))
        for _ in range(randomly.randrange(1, 8)):
            data[randomly.randrange(min(len(data), 200))] = randomly.randrange(256)
        try:
            dimensions(BytesBlob(bytes(data[: randomly.randrange(1, len(data))])))
        except UnsupportedMediaType:
            continue


def test_what_a_file_is_does_not_depend_on_how_much_of_it_is_seen():
    data = b"GIF89a" + b"  " * 253 + b"\0\xff" * 2000
    assert sniff(data[:HEAD_BYTES]) == sniff(data)
