"""What cameras write into pictures does not reach the store."""

from __future__ import annotations

import io
import random
import struct
import sys

import pytest
from PIL import Image, PngImagePlugin

from gateway.domain.errors import RequestTooLarge
from gateway.formats.blobs import BytesBlob
from gateway.formats.camera import lies_on_its_side, without_notes

SECRETS = (b"Ada's camera", b"48 deg", b"GPSLatitude", b"IPTC")
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/" GPSLatitude="48"/>'


def exif(orientation: int = 1) -> Image.Exif:
    found = Image.Exif()
    found[0x0112] = orientation
    found[0x010F] = "Ada's camera"
    found.get_ifd(0x8825)[29] = "48 deg"
    return found


def photo(form: str, orientation: int = 1) -> bytes:
    out = io.BytesIO()
    image = Image.effect_noise((60, 40), 90).convert("RGB")
    options = {}
    if form == "PNG":
        texts = PngImagePlugin.PngInfo()
        texts.add_itxt("XML:com.adobe.xmp", XMP.decode())
        texts.add_text("prompt", "a cat")
        options["pnginfo"] = texts
    else:
        options["xmp"] = XMP
    if form == "WEBP":
        options["lossless"] = True
    image.save(out, form, exif=exif(orientation), **options)
    return out.getvalue()


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content) + 8, kind) + content


def heic(version: int) -> bytes:
    """A HEIC of one picture, Exif and XMP, as telephones write it; `version` is that of `iloc`."""
    exif_note = bytes(4) + b"II*\0 Ada's camera, 48 deg"
    picture, xmp = b"pixels" * 20, XMP
    kinds = ((1, b"hvc1"), (2, b"Exif"), (3, b"mime"))
    entries = [
        box(b"infe", struct.pack(">IHH4s", 2 << 24, item, 0, kind) + b"\0") for item, kind in kinds
    ]
    iinf = box(b"iinf", struct.pack(">IH", 0, len(entries)) + b"".join(entries))

    def meta(start: int) -> bytes:
        places = b""
        for item, data in ((1, picture), (2, exif_note), (3, xmp)):
            method = struct.pack(">H", 0) if version else b""
            places += struct.pack(">H", item) + method
            places += struct.pack(">HHII", 0, 1, start, len(data))
            start += len(data)
        iloc = struct.pack(">IHH", version << 24, 0x4400, 3) + places
        return box(b"meta", bytes(4) + box(b"hdlr", bytes(24)) + iinf + box(b"iloc", iloc))

    kind = box(b"ftyp", b"heic" + bytes(4) + b"mif1heic")
    begin = len(kind) + len(meta(0)) + 8
    return kind + meta(begin) + box(b"mdat", picture + exif_note + xmp)


@pytest.mark.parametrize("version", [0, 1])
def test_notes_of_a_telephone_are_overwritten_in_place(version):
    data = heic(version)
    assert sum(secret in data for secret in SECRETS) == 3
    kept = cleaned(data)
    assert len(kept) == len(data)
    assert not any(secret in kept for secret in SECRETS)
    assert b"pixels" * 20 in kept
    assert cleaned(kept) == kept


def test_places_without_end_are_not_followed():
    entry = box(b"infe", struct.pack(">IHH4s", 2 << 24, 1, 0, b"Exif") + b"\0")
    iinf = box(b"iinf", struct.pack(">IH", 0, 1) + entry)
    iloc = box(
        b"iloc", struct.pack(">IHH", 0, 0, 65535) + struct.pack(">HHH", 1, 0, 65535) * 60_000
    )
    data = box(b"ftyp", b"heic" + bytes(4) + b"heic") + box(b"meta", bytes(4) + iinf + iloc)
    assert cleaned(data) == data
    assert calls(data) < 200_000


def test_items_without_places_are_not_counted_without_end():
    entry = box(b"infe", struct.pack(">IHH4s", 2 << 24, 1, 0, b"Exif") + b"\0")
    iinf = box(b"iinf", struct.pack(">IH", 0, 1) + entry)
    items = struct.pack(">IHHH", 7, 0, 0, 0) * 300_000
    iloc = box(b"iloc", struct.pack(">IHI", 2 << 24, 0, 300_000) + items)
    data = box(b"ftyp", b"heic" + bytes(4) + b"heic") + box(b"meta", bytes(4) + iinf + iloc)
    assert calls(data) < 200_000


def directory(entries: int) -> bytes:
    return (
        b"MM\0*\0\0\0\x08" + struct.pack(">H", entries) + struct.pack(">HHII", 1, 3, 1, 0) * entries
    )


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_directories_without_end_are_not_read(form):
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + bytes(4)

    note = directory(5000)
    exif = b"Exif\0\0" + note
    made = {
        "JPEG": b"\xff\xd8" + (b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif) * 200,
        "PNG": b"\x89PNG\r\n\x1a\n" + chunk(b"eXIf", note) * 200,
        "WEBP": b"RIFF\0\0\0\0WEBP" + (b"EXIF" + struct.pack("<I", len(note)) + note) * 200,
    }
    assert calls(made[form]) < 50_000


def calls(data: bytes) -> int:
    """How many functions are called to clean `data`: what it costs, on a machine of any speed."""
    count = 0

    def tell(frame, event, argument):
        nonlocal count
        count += event.endswith("call")

    before = sys.getprofile()
    sys.setprofile(tell)
    try:
        for _ in without_notes([data], limit=100_000_000):
            pass
    finally:
        sys.setprofile(before)
    return count


def cleaned(data: bytes, piece: int = 1000) -> bytes:
    pieces = (data[start : start + piece] for start in range(0, len(data), piece))
    return b"".join(without_notes(pieces, limit=1_000_000))


@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_notes_go_and_the_picture_stays(form, orientation):
    data = photo(form, orientation)
    assert any(secret in data for secret in SECRETS)
    kept = cleaned(data)
    assert not any(secret in kept for secret in SECRETS)
    before, after = Image.open(io.BytesIO(data)), Image.open(io.BytesIO(kept))
    assert after.convert("RGB").tobytes() == before.convert("RGB").tobytes()
    assert after.getexif().get(0x0112, 1) == orientation
    assert len(after.getexif()) == (orientation != 1)
    assert cleaned(kept) == kept


def test_other_texts_of_a_picture_stay():
    assert Image.open(io.BytesIO(cleaned(photo("PNG")))).text == {"prompt": "a cat"}


def test_iptc_goes_too():
    data = photo("JPEG")
    note = b"Photoshop 3.0\x00 IPTC of Ada"
    segment = b"\xff\xed" + (len(note) + 2).to_bytes(2, "big") + note
    kept = cleaned(data[:2] + segment + data[2:])
    assert b"IPTC" not in kept
    Image.open(io.BytesIO(kept)).load()


def test_notes_of_later_images_in_a_file_are_overwritten_in_place():
    note = b"Photoshop 3.0\x00 IPTC of Ada"
    segment = b"\xff\xed" + (len(note) + 2).to_bytes(2, "big") + note
    later = photo("JPEG")
    later = later[:2] + segment + later[2:]
    plain = io.BytesIO()
    Image.effect_noise((900, 900), 90).convert("RGB").save(plain, "JPEG")
    kept = cleaned(photo("JPEG") + later + plain.getvalue() + later)
    assert not any(secret in kept for secret in SECRETS)
    first = kept.index(b"\xff\xd8\xff", 2)
    images = (kept[first : first + len(later)], kept[-len(later) :])
    for image in images:
        assert Image.open(io.BytesIO(image)).tobytes() == Image.open(io.BytesIO(later)).tobytes()
    assert kept[first + len(later) : -len(later)] == plain.getvalue()


def test_images_without_end_are_not_followed():
    data = photo("JPEG") + b"\xff\xd8\xff\xe1\0\x02" * 100_000
    assert len(cleaned(data)) < len(data)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_a_picture_without_notes_keeps_every_byte(form):
    out = io.BytesIO()
    Image.new("RGB", (60, 40), "teal").save(out, form)
    for piece in (1, 7, 100_000):
        assert cleaned(out.getvalue(), piece) == out.getvalue()


@pytest.mark.parametrize(
    "data", [b"", b"x", b"hello" * 1000, b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"]
)
def test_what_is_no_picture_keeps_every_byte(data):
    assert cleaned(data) == data


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "HEIC"])
def test_a_picture_may_end_anywhere(form):
    good = heic(1) if form == "HEIC" else photo(form, 6)
    for end in range(min(len(good), 3000)):
        assert len(cleaned(good[:end], 5000)) <= end


def test_long_notes_are_overwritten_in_pieces():
    entry = box(b"infe", struct.pack(">IHH4s", 2 << 24, 1, 0, b"Exif") + b"\0")
    iinf = box(b"iinf", struct.pack(">IH", 0, 1) + entry)
    place = struct.pack(">HHHII", 1, 0, 1, 500, 700_000)
    iloc = box(b"iloc", struct.pack(">IHH", 0, 0x4400, 1) + place)
    head = box(b"ftyp", b"heic" + bytes(4) + b"heic") + box(b"meta", bytes(4) + iinf + iloc)
    data = head.ljust(500, b"-") + b"x" * 700_000 + b"end"
    kept = cleaned(data)
    assert len(kept) == len(data)
    assert kept[500:504] + kept[504:506] == bytes(4) + b"II"
    assert kept[520:] == bytes(699_980) + b"end"
    pieces = list(without_notes([data], limit=1_000_000))
    assert max(map(len, pieces)) <= 256 * 1024


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
def test_which_side_is_up_is_known_before_and_after(form, orientation):
    mime_type = f"image/{form.lower()}"
    original = photo(form, orientation)
    for data in (original, cleaned(original)):
        assert lies_on_its_side(BytesBlob(data), mime_type) is (orientation in (5, 6, 7, 8))


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", photo("JPEG", 6)[:40]])
def test_what_is_damaged_or_no_picture_stands_upright(data):
    for mime_type in ("image/jpeg", "image/png", "image/webp", "image/heic", "image/gif"):
        assert not lies_on_its_side(BytesBlob(data), mime_type)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "HEIC"])
def test_damaged_pictures_come_through(form):
    good = heic(1) if form == "HEIC" else photo(form, 6)
    chance = random.Random(form)
    for _ in range(500):
        data = bytearray(good[: chance.randrange(13, len(good) + 1)])
        for _ in range(chance.randrange(5)):
            data[chance.randrange(min(len(data), 400))] = chance.randrange(256)
        assert len(cleaned(bytes(data), 5000)) <= len(data) + 64


def test_too_much_is_refused():
    with pytest.raises(RequestTooLarge):
        list(without_notes([photo("JPEG"), bytes(2_000_000)], limit=1_000_000))
