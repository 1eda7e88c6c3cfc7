"""Attachments that are too large, too many or hostile are refused."""

from __future__ import annotations

import base64
import io
import struct
import time
import zlib
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from gateway.domain.accounts import Secret
from gateway.domain.errors import (
    InvalidRequest,
    RequestTooLarge,
    UnsupportedMediaType,
)
from gateway.domain.media import MediaRef
from gateway.services.media.media import MediaService
from gateway.services.media.resolve import MediaLimits
from gateway.services.media.urls import MediaUrls
from tests.services.media.kit import (
    ALICE,
    MP4,
    Source,
    picture,
    ref,
    resolve,
)
from tests.support.media import data_url


def test_an_attachment_beyond_its_kinds_limit_is_refused(make, files, site):
    media = make(limits=MediaLimits(image=1000, video=2000, file=500))
    large = picture() + bytes(1000)
    site.pages["/large.png"] = large
    file = files.create([large], filename="a", purpose="vision", caller=ALICE)
    kept = media.sign(media.archive(Source([large]), "alice"))
    for url in (f"{site.url}/large.png", data_url(large), base64.b64encode(large).decode(), kept):
        with pytest.raises(RequestTooLarge) as caught:
            resolve(media, ref(url, param="p"))
        assert caught.value.param == "p"
    with pytest.raises(RequestTooLarge):
        resolve(media, MediaRef("image", "p", file_id=file.id))
    assert resolve(media, ref(data_url(MP4), "video"))
    with pytest.raises(RequestTooLarge):
        resolve(media, ref(data_url(MP4), "file"))


def test_white_space_in_base64_does_not_count_towards_the_limit(make):
    data = picture()
    media = make(limits=MediaLimits(image=len(data)))
    text = "\n ".join(base64.b64encode(data).decode())
    assert resolve(media, ref(f"data:image/png;base64,{text}"))[0].blob.size == len(data)


def test_attachments_are_bounded_together(make, site):
    pictures = [picture(colour=colour) for colour in ("red", "green", "blue")]
    site.pages |= {f"/{number}": data for number, data in enumerate(pictures)}
    media = make(limits=MediaLimits(request_bytes=len(pictures[0]) * 2))
    for links in ([data_url(p) for p in pictures], [f"{site.url}/{n}" for n in range(3)]):
        assert resolve(media, *map(ref, links[:2]))
        with pytest.raises(RequestTooLarge):
            resolve(media, *map(ref, links))


def test_an_attachment_counts_each_time_it_stands_in_a_request(make, files, site):
    data = picture()
    site.pages["/again.png"] = data
    media = make(limits=MediaLimits(request_bytes=len(data) * 3))
    file = files.create([data], filename="a", purpose="vision", caller=ALICE)
    kept = media.sign(media.archive(Source([data]), "alice"))
    links = (f"{site.url}/again.png", data_url(data), kept)
    uploaded = MediaRef("image", "p", file_id=file.id)
    for again in (*(ref(link, param="p") for link in links), uploaded):
        assert len(resolve(media, *[again] * 3)) == 3
        with pytest.raises(RequestTooLarge) as caught:
            resolve(media, *[again] * 4)
        assert caught.value.param == "p"


def test_different_attachments_are_limited_in_number(make):
    media = make(limits=MediaLimits(request_count=2))
    urls = [data_url(picture(colour=colour)) for colour in ("red", "green", "blue")]
    assert resolve(media, *map(ref, urls[:2] * 10))
    with pytest.raises(InvalidRequest, match="at most 2"):
        resolve(media, *map(ref, urls))


def test_attachments_are_limited_in_number_with_their_repetitions(make):
    media = make(limits=MediaLimits(repeated_count=3))
    again = ref(data_url(picture()), param="p")
    assert resolve(media, *[again] * 3)
    with pytest.raises(InvalidRequest, match="at most 3") as caught:
        resolve(media, *[again] * 4)
    assert caught.value.param == "p"


def png_claiming(width: int, height: int) -> bytes:
    """A 1-bit PNG whose pixels would fill memory."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = zlib.compressobj(9)
    row = bytes(width // 8 + 1)
    data = b"".join([*(rows.compress(row) for _ in range(height)), rows.flush()])
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def animated(frames: int, form: str) -> bytes:
    file = io.BytesIO()
    stills = [Image.new("P", (8, 8), number % 256) for number in range(frames)]
    stills[0].save(file, form, save_all=True, append_images=stills[1:], duration=10)
    return file.getvalue()


def gif_of(frames: int) -> bytes:
    frame = b"\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0"
    return b"GIF89a\xff\xff\xff\xff\x80\0\0" + bytes(6) + frame * frames + b";"


HOSTILE = {
    "12000 squared": png_claiming(12_000, 12_000),
    "14000 squared": png_claiming(14_000, 14_000),
    "huge claim": png_claiming(8, 8).replace(
        struct.pack(">II", 8, 8), struct.pack(">II", 2**31 - 1, 2**31 - 1)
    ),
    "no pixels": png_claiming(8, 8).replace(struct.pack(">II", 8, 8), struct.pack(">II", 0, 8)),
    "gif of 65535 squared": gif_of(20_000),
    "jpeg of 65500 squared": b"\xff\xd8\xff\xc0\0\x11\x08"
    + struct.pack(">HH", 65500, 65500)
    + bytes(20),
    "jpeg of segments": b"\xff\xd8" + b"\xff\xe0\0\x02" * 1_000_000,
    "jpeg of padding": b"\xff\xd8" + b"\xff" * 5_000_000,
    "webp of 16383 squared": b"RIFF\xff\xff\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xfe\x3f\0" * 2,
    "bmp with a negative size": b"BM"
    + bytes(12)
    + struct.pack("<Iii", 40, -5, 2**31 - 1)
    + bytes(30),
    "tiff pointing outside": b"II*\0" + struct.pack("<I", 0xFFFFFFF0) + bytes(20),
    "tiff pointing at itself": b"II*\0" + struct.pack("<IH", 8, 65535) + b"\x08\0" * 5000,
    **{f"png cut at {n}": picture()[:n] for n in (8, 9, 16, 20, 23)},
    **{f"jpeg cut at {n}": picture(form="JPEG")[:n] for n in (3, 4, 30, 150)},
    **{f"{form} cut": picture(form=form)[:9] for form in ("GIF", "TIFF")},
    "webp cut": picture(form="WEBP")[:22],
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("sent_as", ["image", "file"])
def test_hostile_pictures_are_refused_from_their_header(media, name, sent_as):
    url = data_url(HOSTILE[name])
    began = time.process_time()
    with pytest.raises(UnsupportedMediaType) as caught:
        resolve(media, ref(url, sent_as, param="here"))
    assert time.process_time() - began < 2
    assert caught.value.param == "here"


def test_animations_of_many_frames_are_not_played(media, make):
    url = data_url(animated(2000, "GIF"))
    began = time.process_time()
    (found,) = resolve(media, ref(url))
    assert (found.mime_type, found.width) == ("image/gif", 8)
    assert time.process_time() - began < 2


@settings(deadline=None)
@given(
    st.sampled_from([picture(form=f) for f in ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF")]),
    st.data(),
)
def test_pictures_with_flipped_bytes_are_taken_or_refused(data, draw):
    # The service's stores are not reached by embedded pictures.
    media = MediaService(
        store=None, index=None, files=None, fetcher=None, urls=MediaUrls([Secret("s")])
    )
    broken = bytearray(data)
    for _ in range(draw.draw(st.integers(1, 6))):
        at = draw.draw(st.integers(0, min(len(broken), 200) - 1))
        broken[at] = draw.draw(st.integers(0, 255))
    end = draw.draw(st.integers(1, len(broken)))
    with suppress(UnsupportedMediaType):
        resolve(media, ref(data_url(bytes(broken[:end])), "file"))
