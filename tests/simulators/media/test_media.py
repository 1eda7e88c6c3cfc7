"""Images and videos are real files, and their signed URLs behave like an object store's."""

from __future__ import annotations

import io
import struct

import pytest
import requests
from PIL import Image

from gateway.simulators.media.images import generate_image
from gateway.simulators.media.media_info import MediaInfo, describe, describe_attachments
from gateway.simulators.media.videos import generate_video
from tests.support.media import jpeg, png

SIZES = [(640, 480), (1248, 704), (1280, 720), (834, 1112), (1470, 630), (3840, 2160)]


def boxes(data: bytes) -> dict[bytes, bytes]:
    """Split a run of MP4 boxes; the order of the keys is that of the boxes."""
    found, at = {}, 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        assert 8 <= size <= len(data) - at
        found[kind] = data[at + 8 : at + size]
        at += size
    return found


def table_of(data: bytes) -> dict[bytes, bytes]:
    media = boxes(boxes(boxes(boxes(data)[b"moov"])[b"trak"])[b"mdia"])
    return boxes(boxes(media[b"minf"])[b"stbl"])


def image_url(sim_url: str, key: str, **body: object) -> str:
    answer = requests.post(
        f"{sim_url}/ark/api/v3/images/generations",
        json={"model": "doubao-seedream-4-0-250828", "prompt": "a cat", **body},
        headers={"Authorization": f"Bearer {key}"},
        timeout=30,
    )
    return answer.json()["data"][0]["url"]


@pytest.mark.parametrize("size", [(16, 16), (64, 48), (2496, 1664)])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_image_has_the_size_and_format_that_were_asked_for(size, kind):
    with Image.open(
        io.BytesIO(generate_image("a cat 猫 on a sofa", *size, kind, mark="made"))
    ) as image:
        image.load()
        assert (image.format, image.size) == (kind, size)


def test_images_of_different_prompts_differ():
    assert generate_image("a cat", 64, 64) != generate_image("a dog", 64, 64)
    assert generate_image("a cat", 64, 64) == generate_image("a cat", 64, 64)


@pytest.mark.parametrize("size", SIZES)
def test_video_states_its_size_length_and_key_images(size):
    data = generate_video(*size, 5)
    top = boxes(data)
    table = table_of(data)
    assert list(top) == [b"ftyp", b"moov", b"mdat"]
    assert struct.unpack_from(">HH", table[b"stsd"], 8 + 32) == size
    assert struct.unpack_from(">II", table[b"stts"], 8) == (120, 512)
    assert struct.unpack_from(">5I", table[b"stss"], 8) == (1, 25, 49, 73, 97)


def test_samples_of_a_video_fill_its_data_exactly():
    data = generate_video(640, 480, 2)
    sizes = struct.unpack_from(">48I", table_of(data)[b"stsz"], 12)
    (offset,) = struct.unpack_from(">I", table_of(data)[b"stco"], 8)
    content = boxes(data)[b"mdat"]
    assert sum(sizes) == len(content)
    assert data[offset:] == content
    at = 0
    for number, size in enumerate(sizes):
        length, kind = struct.unpack_from(">IB", content, at)
        assert length == size - 4
        assert kind == (0x65 if number % 24 == 0 else 0x41)
        assert b"\0\0\1" not in content[at + 4 : at + size]
        at += size


def test_video_is_described_as_video():
    assert describe(generate_video(640, 480, 1)).mime == "video/mp4"


@pytest.mark.parametrize(
    ("data", "kind", "mime"),
    [
        (png(), "image", "image/png"),
        (jpeg(), "image", "image/jpeg"),
        (b"RIFF\0\0\0\0WAVEfmt ", "audio", "audio/wav"),
        (b"ID3\x04 and more", "audio", "audio/mp3"),
        (b"%PDF-1.7 ...", "document", "application/pdf"),
        ("schön".encode(), "text", "text/plain"),
        (b"\x89PNG but no image \xff", "other", "application/octet-stream"),
        (b"", "other", "application/octet-stream"),
    ],
)
def test_media_are_recognized_by_their_bytes(data, kind, mime):
    seen = describe(data)
    assert (seen.kind, seen.mime, seen.size) == (kind, mime, len(data))


def test_sentence_lists_what_arrived():
    seen = [describe(png(64, 48)), MediaInfo("video", "video/mp4", 0, 0, 99_999)]
    size = seen[0].size
    listed = f"I see 2 attachments: image/png 64x48 ({size} bytes), video/mp4 (99999 bytes)."
    assert describe_attachments(seen) == listed
    assert describe_attachments([]) == ""


def test_signed_url_serves_the_object_and_ranges_of_it(sim_url, key):
    url = image_url(sim_url, key)
    whole = requests.get(url, timeout=10)
    assert (whole.status_code, whole.headers["Content-Type"]) == (200, "image/jpeg")
    part = requests.get(url, headers={"Range": "bytes=10-19"}, timeout=10)
    assert part.status_code == 206
    assert part.content == whole.content[10:20]
    assert part.headers["Content-Range"] == f"bytes 10-19/{len(whole.content)}"
    beyond = requests.get(url, headers={"Range": "bytes=999999999-"}, timeout=10)
    assert beyond.status_code == 416


@pytest.mark.parametrize("header", ["Authorization", "x-goog-api-key"])
def test_credential_sent_to_a_signed_url_is_refused_and_remembered(sim_url, key, ledger, header):
    url = image_url(sim_url, key)
    before = len(ledger()["violations"])
    refused = requests.get(url, headers={header: f"Bearer {key}"}, timeout=10)
    assert refused.status_code == 403
    assert header in ledger()["violations"][before]


def test_signed_url_is_for_one_object_for_one_method_and_for_a_time(sim_url, key):
    url = image_url(sim_url, key)
    forged = [
        url.partition("?")[0],
        url.replace("expires=", "expires=9"),
        url.replace("signature=", "signature=0"),
        url.replace("/_media/", "/_media/other"),
    ]
    assert [requests.get(one, timeout=10).status_code for one in forged] == [403] * 4
    assert requests.head(url, timeout=10).status_code == 403


def test_result_can_be_gone(sim_url, key):
    url = image_url(sim_url, f"{key}-gone")
    assert requests.get(url, timeout=10).status_code == 403
