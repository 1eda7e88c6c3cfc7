"""One contract for every media store, on a real disk and a real S3-compatible server."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway.domain.errors import NotFound, RequestTooLarge
from gateway.domain.media import StoredMedia
from gateway.storage.media.open import open_media_store
from tests.storage.media.kit import MB, content, picture, pieces


def test_what_was_put_is_read_back_under_its_digest(store):
    data = picture()
    stored = store.put(pieces(data), limit=MB)
    assert stored == StoredMedia(
        hashlib.sha256(data).hexdigest(), "png", "image/png", len(data), 64, 48
    )
    assert content(store, stored) == data
    assert b"".join(store.blob(stored).chunks()) == data


def test_equal_content_is_kept_once(store):
    first, second = store.put([picture()], limit=MB), store.put(pieces(picture()), limit=MB)
    other = store.put([picture(colour="blue")], limit=MB)
    assert first == second != other
    assert {entry.media.name for entry in store.entries()} == {first.name, other.name}
    assert store.usage() == first.size + other.size


def test_equal_content_put_by_many_at_once_is_kept_once(store):
    data = os.urandom(300_000)
    barrier = threading.Barrier(8)

    def put(_: int) -> StoredMedia:
        barrier.wait()
        return store.put(pieces(data, 7777), limit=MB)

    with ThreadPoolExecutor(8) as pool:
        all_stored = list(pool.map(put, range(8)))
    assert len(set(all_stored)) == 1
    assert content(store, all_stored[0]) == data
    assert [entry.media.size for entry in store.entries()] == [len(data)]


@pytest.mark.parametrize(
    ("data", "extension", "mime_type"),
    [
        (b"\xff\xd8\xff\xe0\0\x10JFIF\0" + bytes(100), "jpg", "image/jpeg"),
        (b"GIF89a\x01\0\x01\0\0\0\0;", "gif", "image/gif"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(100), "mp4", "video/mp4"),
        (b"RIFF\x24\0\0\0WAVEfmt " + bytes(100), "wav", "audio/wav"),
        (b"%PDF-1.7\n", "pdf", "application/pdf"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "bin", "application/octet-stream"),
        (b"<!doctype html><script>alert(1)</script>", "bin", "application/octet-stream"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n", "bin", "application/octet-stream"),
        (b"MZ\x90\0", "bin", "application/octet-stream"),
        (b"", "bin", "application/octet-stream"),
    ],
)
def test_the_type_is_what_the_bytes_say(store, data, extension, mime_type):
    stored = store.put(iter([data]), limit=MB)
    assert (stored.extension, stored.mime_type, stored.size) == (extension, mime_type, len(data))
    assert content(store, stored) == data


def test_the_type_is_seen_in_however_small_pieces_the_bytes_arrive(store):
    assert store.put(pieces(picture(), 1), limit=MB).mime_type == "image/png"


def test_a_broken_picture_is_kept_without_a_size(store):
    stored = store.put([picture()[:20]], limit=MB)
    assert (stored.mime_type, stored.width, stored.height) == ("image/png", None, None)


def test_ranges_are_half_open(store):
    data = bytes(range(256)) * 1000
    stored = store.put([data], limit=MB)
    assert content(store, stored, 0, 1) == data[:1]
    assert content(store, stored, 100_000, 200_000) == data[100_000:200_000]
    assert content(store, stored, len(data) - 1) == data[-1:]
    assert content(store, stored, 5, 10**9) == data[5:]
    assert content(store, stored, len(data)) == b""
    assert content(store, stored, 7, 7) == b""


def test_what_is_too_large_is_refused_and_nothing_of_it_kept(store):
    with pytest.raises(RequestTooLarge):
        store.put(pieces(picture()), limit=10)
    assert list(store.entries()) == []
    assert store.put([b"x" * 10], limit=10).size == 10


def test_a_source_that_breaks_off_leaves_nothing(store, tmp_path):
    def broken() -> Iterator[bytes]:
        yield picture()
        raise ConnectionResetError("the sender left")

    with pytest.raises(ConnectionResetError):
        store.put(broken(), limit=MB)
    assert list(store.entries()) == []
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_an_entry_is_found_by_its_name_alone(store):
    stored = store.put([picture()], limit=MB)
    found = store.find(stored.id, "png")
    assert (found.id, found.mime_type, found.size) == (stored.id, "image/png", stored.size)
    assert store.find(stored.id, "jpg") is None
    assert store.find("0" * 64, "png") is None


@pytest.mark.parametrize(
    ("media_id", "extension"),
    [
        ("../" * 10 + "etc/passwd", "png"),
        ("..%2f..%2fetc", "png"),
        ("a" * 63, "png"),
        ("A" * 64, "png"),
        ("a" * 64 + "\n", "png"),
        ("a" * 64, "png\0"),
        ("a" * 64, "../x"),
        ("a" * 64, "exe"),
        ("a" * 64, ""),
        ("", ""),
        ("a" * 5000, "png"),
        ("\ud800" * 64, "png"),
        ("٣" * 64, "png"),
    ],
)
def test_a_name_that_no_store_gave_reaches_no_file(store, media_id, extension):
    assert store.find(media_id, extension) is None
    made_up = StoredMedia(media_id, extension, "image/png", 1)
    for act in (store.blob, store.delete, lambda stored: content(store, stored)):
        with pytest.raises(NotFound):
            act(made_up)


def test_a_deleted_entry_is_gone_and_deleting_again_is_no_error(store):
    stored = store.put([picture()], limit=MB)
    assert store.delete(stored)
    assert store.find(stored.id, "png") is None
    with pytest.raises(NotFound):
        content(store, stored)
    with pytest.raises(NotFound):
        store.blob(stored)
    assert store.delete(stored)


def test_an_entry_that_was_put_again_survives_a_deletion_decided_before(store):
    stored = store.put([picture()], limit=MB)
    decided_at = time.time() - 60
    assert not store.delete(stored, unless_newer_than=decided_at)
    assert store.find(stored.id, "png")
    assert store.delete(stored, unless_newer_than=time.time() + 60)
    assert store.find(stored.id, "png") is None


def test_a_blob_outlasts_its_entry(store):
    stored = store.put([picture()], limit=MB)
    blob = store.blob(stored)
    store.delete(stored)
    assert b"".join(blob.chunks()) == picture()


def test_a_working_store_answers_a_ping(store):
    store.ping()
    assert list(store.entries()) == []


@pytest.mark.parametrize(
    "location", ["", "file:", "media", "s3://", "s3:bucket", "s3://UPPER/x", "http://x/y"]
)
def test_a_location_that_means_no_store_is_refused(location):
    with pytest.raises(ValueError, match=r"file:DIR or s3://bucket/prefix"):
        open_media_store(location)
