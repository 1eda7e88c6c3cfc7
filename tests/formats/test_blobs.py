"""Media in memory, in base64 and on disk, and the request bodies made of them."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import random
import subprocess
import sys

import orjson
import pytest
from werkzeug.formparser import parse_form_data

from gateway.domain.errors import (
    InvalidBase64,
    InvalidRequest,
    RequestTooLarge,
    StorageUnavailable,
)
from gateway.formats.blobs import Base64Blob, BytesBlob, FileBlob, decode_base64, spool
from gateway.net.codecs.json_body import Base64, JsonBody, encode, redacted
from gateway.net.codecs.multipart import File, Multipart

DATA = random.Random(1).randbytes(1_000_003)


def blobs_of(data, tmp_path):
    path = tmp_path / "data"
    path.write_bytes(data)
    text = base64.b64encode(data)
    return [BytesBlob(data), Base64Blob(text), Base64Blob(text.decode()), FileBlob(path)]


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 1000, 196_608, 1_000_003])
def test_every_blob_reads_the_same_in_every_way_and_more_than_once(tmp_path, size):
    data = DATA[:size]
    for blob in blobs_of(data, tmp_path):
        for _ in range(2):
            assert blob.size == size
            assert b"".join(blob.chunks()) == data
            assert b"".join(blob.base64()) == base64.b64encode(data)
            assert blob.base64_size == len(base64.b64encode(data))
        for offset in (0, 1, 2, 3, size // 2, size, size + 5):
            for count in (0, 1, 2, 7, 1000):
                assert blob.read_at(offset, count) == data[offset : offset + count]


def test_base64_text_is_handed_on_as_it_came():
    text = base64.b64encode(DATA).decode()
    blob, digest = decode_base64(text, limit=len(DATA))
    assert isinstance(blob, Base64Blob)
    assert b"".join(blob.base64()) == text.encode()
    assert digest == hashlib.sha256(DATA).hexdigest()


def test_long_base64_text_goes_to_disk():
    blob, digest = decode_base64(base64.b64encode(DATA), limit=len(DATA), memory=100_000)
    assert isinstance(blob, FileBlob)
    assert b"".join(blob.chunks()) == DATA
    assert digest == hashlib.sha256(DATA).hexdigest()


@pytest.mark.parametrize("memory", [0, 10_000_000])
@pytest.mark.parametrize("width", [1, 2, 3, 76])
def test_white_space_in_base64_is_ignored_wherever_it_is(width, memory):
    text = base64.b64encode(DATA[:300_001]).decode()
    lines = "\t\r\n \v\f".join(text[at : at + width] for at in range(0, len(text), width))
    blob, _ = decode_base64(f" \n{lines}\n", limit=300_001, memory=memory)
    assert b"".join(blob.chunks()) == DATA[:300_001]
    assert b"".join(blob.base64()) == text.encode()


@pytest.mark.parametrize("memory", [0, 1_000_000])
@pytest.mark.parametrize(
    "text",
    [
        "",
        " \n",
        "a",
        "aGkha",
        "a!b",
        "aGk=!!!!",
        "aGk=aGk=",
        "aG=k",
        "=aGk",
        "====",
        "aGk==",
        "aGk=\n=",
        "_-_-",
        "aGk\u00e9",
        "aGk\u2003",
        "aGk\x1c",
        "aGk=" + "\n" * 2_000_000 + "aGk=",
        "aGkh" * 300_000 + "a",
        "aGkh" * 300_000 + "*aGk",
    ],
)
def test_text_that_is_not_base64_is_refused(text, memory):
    with pytest.raises(InvalidBase64):
        decode_base64(text, limit=10_000_000, memory=memory)


@pytest.mark.parametrize("memory", [0, 10_000_000])
@pytest.mark.parametrize("text", ["aGk", "aG k\n", "aGkhaA", "aGkh" * 200_000 + "aGk"])
def test_padding_may_be_missing(text, memory):
    plain = "".join(text.split())
    whole = base64.b64decode(plain + "=" * (-len(plain) % 4))
    blob, digest = decode_base64(text, limit=10_000_000, memory=memory)
    assert digest == hashlib.sha256(whole).hexdigest()
    assert b"".join(blob.chunks()) == whole
    assert base64.b64decode(b"".join(blob.base64()), validate=True) == whole


def looser(text):
    """Texts of the same bytes: blanks here and there, as many as padding is missing, or not."""
    bare = text.rstrip("=")
    for blanks in ("", " ", "\n", "\r\n", " \t\n"):
        for place in {0, 1, 2, len(bare) // 2, len(bare)}:
            yield bare[:place] + blanks + bare[place:]
            yield bare[:place] + blanks + text[place:]


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 1000])
def test_blanks_do_not_pass_for_missing_padding(size):
    text = base64.b64encode(DATA[:size]).decode()
    for loose in looser(text):
        blob, _ = decode_base64(loose, limit=size)
        assert (blob.size, b"".join(blob.chunks())) == (size, DATA[:size]), loose
        assert b"".join(blob.base64()) == text.encode()


@pytest.mark.parametrize("memory", [0, 10_000_000])
def test_base64_beyond_the_limit_is_refused(memory):
    text = base64.b64encode(DATA)
    assert decode_base64(text, limit=len(DATA), memory=memory)[0].size == len(DATA)
    with pytest.raises(RequestTooLarge):
        decode_base64(text, limit=len(DATA) - 1, memory=memory)


@pytest.mark.parametrize("memory", [0, 500_000, 1_000_003])
def test_spooled_bytes_come_back_with_their_digest(memory):
    pieces = (DATA[at : at + 1000] for at in range(0, len(DATA), 1000))
    blob, digest = spool(pieces, limit=len(DATA), memory=memory)
    assert isinstance(blob, BytesBlob) == (memory >= len(DATA))
    assert b"".join(blob.chunks()) == DATA
    assert digest == hashlib.sha256(DATA).hexdigest()


def test_nothing_at_all_can_be_spooled():
    blob, digest = spool([], limit=0)
    assert (blob.size, list(blob.chunks())) == (0, [])
    assert digest == hashlib.sha256().hexdigest()


def open_files():
    return len(os.listdir("/proc/self/fd"))


def test_spooled_file_has_no_name_and_goes_away_with_its_blob(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = open_files()
    blob, _ = spool([DATA], limit=len(DATA), memory=0)
    assert list(tmp_path.iterdir()) == []
    assert open_files() == before + 1
    del blob
    assert open_files() == before


def test_stream_that_is_too_long_or_breaks_leaves_no_file_behind(tmp_path, monkeypatch):
    def breaking():
        yield DATA
        raise RuntimeError("gone")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = open_files()
    with pytest.raises(RequestTooLarge):
        spool([DATA, DATA], limit=len(DATA), memory=0)
    with pytest.raises(RuntimeError):
        spool(breaking(), limit=len(DATA), memory=0)
    assert open_files() == before


def test_full_disk_and_missing_files_are_storage_errors(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    with pytest.raises(StorageUnavailable):
        spool([DATA], limit=len(DATA), memory=0)
    with pytest.raises(StorageUnavailable):
        FileBlob(tmp_path / "missing")
    path = tmp_path / "shrinking"
    path.write_bytes(DATA)
    blob = FileBlob(path)
    os.truncate(path, 1000)
    with pytest.raises(StorageUnavailable):
        list(blob.chunks())


MEMORY = """
import base64, resource
from gateway.formats.blobs import MIB, decode_base64, spool

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

piece = bytes(range(256)) * 256
text = base64.b64encode(piece).decode() [:65536 // 4 * 4] * 400
base64.b64encode(piece)
spool([piece] * 20, limit=100 * MIB)
start = peak()
blob, _ = decode_base64(text, limit=30 * MIB)
after_text = peak()
spooled, _ = spool((piece for _ in range(1600)), limit=100 * MIB)
for _ in spooled.base64():
    pass
print(blob.size, spooled.size, after_text - start, peak() - after_text)
"""


def test_large_media_pass_through_little_memory():
    run = subprocess.run(
        [sys.executable, "-c", MEMORY], capture_output=True, text=True, check=True, timeout=60
    )
    blob_size, spooled_size, text_mb, spool_mb = map(float, run.stdout.split())
    assert blob_size > 19_000_000
    assert spooled_size == 1600 * 65536
    assert text_mb < 16
    assert spool_mb < 30


def document(blob):
    return {
        "contents": [{"parts": [{"text": 'caf\u00e9 "q"'}, {"data": Base64(blob)}]}],
        "url": Base64(blob, prefix='data:image/png;note="\u00fc";base64,'),
        "n": [1, 2.5, None, True, ("t",)],
    }


@pytest.mark.parametrize("size", [0, 1, 2, 300_001])
def test_document_with_media_is_the_json_it_would_be_in_one_piece(tmp_path, size):
    text = base64.b64encode(DATA[:size]).decode()
    expected = document(BytesBlob(b""))
    expected["contents"][0]["parts"][1]["data"] = text
    expected["url"] = 'data:image/png;note="\u00fc";base64,' + text
    expected["n"][4] = ["t"]
    for blob in blobs_of(DATA[:size], tmp_path):
        body = encode(document(blob))
        assert isinstance(body, JsonBody)
        for _ in range(2):
            sent = b"".join(body.chunks())
            assert len(sent) == body.size
            assert json.loads(sent) == expected


def test_document_without_media_is_plain_json():
    assert encode({"a": [1, "\u00e9"]}) == orjson.dumps({"a": [1, "\u00e9"]})


@pytest.mark.parametrize("value", ["\ud800", 2**70, object(), b"bytes", {1: 2}])
def test_value_that_json_cannot_carry_is_the_callers_mistake(value):
    with pytest.raises(InvalidRequest):
        encode({"a": value})


def test_dry_run_shows_sizes_in_place_of_media():
    shown = redacted(document(BytesBlob(b"12345")))
    assert shown["contents"][0]["parts"][1] == {"data": "<base64 5 bytes>"}
    assert shown["url"] == "<base64 5 bytes>"
    assert json.loads(json.dumps(shown))["n"] == [1, 2.5, None, True, ["t"]]


def test_form_is_read_back_as_it_was_meant(tmp_path):
    fields = [("purpose", "user_data"), ("prompt", "caf\u00e9\r\nline"), ("empty", "")]
    for blob in blobs_of(DATA[:300_001], tmp_path):
        files = [
            File("image[]", blob, "i.png", "image/png"),
            File("mask", blob, "m.png", "image/png"),
        ]
        form = Multipart(fields, files)
        sent = b"".join(form.chunks())
        assert len(sent) == form.size
        _, got, uploads = parse_form_data(
            {
                "REQUEST_METHOD": "POST",
                "CONTENT_TYPE": form.content_type,
                "CONTENT_LENGTH": str(form.size),
                "wsgi.input": io.BytesIO(sent),
            }
        )
        assert list(got.items()) == fields
        assert list(uploads) == ["image[]", "mask"]
        for upload in uploads.values():
            assert upload.filename == f"{upload.name[0]}.png"
            assert upload.mimetype == "image/png"
            assert upload.stream.read() == DATA[:300_001]
            upload.close()


def test_form_without_files_is_complete_and_names_cannot_break_out():
    form = Multipart([('a"\r\nX: y', "1")])
    sent = b"".join(form.chunks())
    assert len(sent) == form.size
    assert b'name="a%22%0D%0AX: y"\r\n' in sent
    assert sent.endswith(b"--\r\n")
    hostile = File("f", BytesBlob(b""), 'x"\r\nX: y', "image/png\r\nX: y")
    assert b"\r\nX:" not in b"".join(Multipart([], [hostile]).chunks())
