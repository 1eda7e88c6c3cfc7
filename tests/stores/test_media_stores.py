"""One contract for every media store, on a real disk and a real S3-compatible server."""

from __future__ import annotations

import hashlib
import io
import os
import resource
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer
from PIL import Image

from gateway.domain.accounts import Secret
from gateway.domain.errors import NotFound, RequestTooLarge, StorageUnavailable
from gateway.domain.media import StoredMedia
from gateway.stores.media import open_media_store
from gateway.stores.media_s3 import S3Access, S3MediaStore
from gateway.stores.media_store import MediaStore, inline

MB = 1_000_000


def picture(width: int = 64, height: int = 48, colour: str = "red") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(file, "PNG")
    return file.getvalue()


def pieces(data: bytes, size: int = 1000) -> Iterator[bytes]:
    for offset in range(0, len(data), size):
        yield data[offset : offset + size]


def content(store: MediaStore, stored: StoredMedia, *span: int) -> bytes:
    with store.open(stored, *span) as chunks:
        return b"".join(chunks)


def access(endpoint: str) -> S3Access:
    return S3Access(endpoint, "us-east-1", "test", Secret("test"))


@pytest.fixture(scope="module")
def s3_url() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="module")
def s3_client(s3_url):
    client = boto3.client(
        "s3",
        endpoint_url=s3_url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    yield client
    client.close()


@pytest.fixture
def bucket(s3_client) -> str:
    name = f"media-{uuid.uuid4().hex}"
    s3_client.create_bucket(Bucket=name)
    return name


@pytest.fixture(params=["local", "s3"])
def store(request, tmp_path) -> MediaStore:
    if request.param == "local":
        return open_media_store(f"file:{tmp_path / 'media'}")
    endpoint, bucket = request.getfixturevalue("s3_url"), request.getfixturevalue("bucket")
    return open_media_store(f"s3://{bucket}/some/prefix", s3=access(endpoint))


# The contract


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


# Local


@pytest.fixture
def local(tmp_path) -> MediaStore:
    return open_media_store(f"file:{tmp_path / 'media'}")


@contextmanager
def mounted(path: Path) -> Iterator[bool]:
    """A disk of 1 MB at `path`; without the right to mount, a limit on every file's size."""
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(path)]
    if subprocess.run(command, capture_output=True, check=False).returncode == 0:
        try:
            yield
        finally:
            subprocess.run(["umount", str(path)], check=True)
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MB, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_reported_and_no_part_of_a_file_stays(tmp_path):
    disk = tmp_path / "disk"
    with mounted(disk):
        store = open_media_store(f"file:{disk / 'media'}")
        small = store.put([picture()], limit=MB)
        for _ in range(3):
            with pytest.raises(StorageUnavailable):
                store.put(pieces(os.urandom(2 * MB), 100_000), limit=10 * MB)
        assert [path.name for path in disk.rglob("*") if path.is_file()] == [small.name]
        assert content(store, small) == picture()
        # There is room again as soon as something goes.
        assert store.put([os.urandom(100_000)], limit=MB).size == 100_000


def test_a_directory_that_cannot_be_made_is_unavailable(tmp_path):
    (tmp_path / "file").write_text("in the way")
    store = open_media_store(f"file:{tmp_path / 'file' / 'media'}")
    for act in (store.ping, lambda: store.put([b"x"], limit=10)):
        with pytest.raises(StorageUnavailable):
            act()


def test_a_link_in_the_directory_is_not_followed(local, tmp_path):
    stored = local.put([picture()], limit=MB)
    secret = tmp_path / "secret"
    secret.write_text("secret")
    name = "f" * 64
    (tmp_path / "media" / "ff").mkdir()
    (tmp_path / "media" / "ff" / f"{name}.png").symlink_to(secret)
    assert local.find(name, "png") is None
    with pytest.raises(NotFound):
        content(local, StoredMedia(name, "png", "image/png", 6))
    assert [entry.media.id for entry in local.entries()] == [stored.id]


def test_leftovers_of_a_killed_process_are_swept_and_never_seen(local, tmp_path):
    code = f"""
import os
from gateway.stores.media import open_media_store
def chunks():
    yield b"half of it" * 10_000
    os.kill(os.getpid(), 9)
open_media_store("file:{tmp_path / "media"}").put(chunks(), limit=10**9)
"""
    subprocess.run([sys.executable, "-c", code], check=False)
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 1
    assert list(local.entries()) == []
    assert local.usage() == 0
    assert local.sweep(older_than_s=3600) == 0
    assert local.sweep(older_than_s=-1) == 1
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_local_store_has_no_links_of_its_own(local):
    assert local.url(local.put([picture()], limit=MB), expires_s=60) is None


def test_a_large_put_passes_through_little_memory(tmp_path):
    code = f"""
import resource
from gateway.stores.media import open_media_store
def peak():
    for line in open("/proc/self/status"):
        if line.startswith("VmHWM"):
            return int(line.split()[1])
store = open_media_store("file:{tmp_path}")
store.put([b"warm"], limit=10)
before = peak()
piece = b"x" * 65536
stored = store.put((piece for _ in range(1600)), limit=10**9)
blob = store.blob(stored)
for _ in blob.base64():
    pass
print(stored.size, peak() - before)
"""
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    size, growth_kib = map(int, result.stdout.split())
    assert size == 1600 * 65536
    assert growth_kib < 30 * 1024


# S3


def test_a_presigned_link_gives_the_bytes_with_our_headers(s3_url, bucket):
    store = S3MediaStore(bucket, access=access(s3_url))
    stored = store.put([picture()], limit=MB)
    link = store.url(stored, expires_s=60)
    with urllib.request.urlopen(link) as answer:
        assert answer.read() == picture()
        assert answer.headers["Content-Type"] == "image/png"
        assert answer.headers["Content-Disposition"] == f'inline; filename="{stored.name}"'
    page = store.put([b"<script>"], limit=MB)
    with urllib.request.urlopen(store.url(page, expires_s=60)) as answer:
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert answer.headers["Content-Disposition"].startswith("attachment;")


def test_large_objects_are_uploaded_in_parts(s3_url, s3_client, bucket):
    store = S3MediaStore(bucket, "p", access=access(s3_url))
    data = os.urandom(20 * MB)
    stored = store.put(pieces(data, MB), limit=100 * MB)
    head = s3_client.head_object(Bucket=bucket, Key=f"p/{stored.name}")
    assert head["ETag"].strip('"').endswith("-3")
    assert content(store, stored, 9 * MB, 9 * MB + 10) == data[9 * MB : 9 * MB + 10]
    assert hashlib.sha256(content(store, stored)).hexdigest() == stored.id


def test_uploads_that_were_never_finished_are_swept(s3_url, s3_client, bucket):
    store = S3MediaStore(bucket, "p", access=access(s3_url))
    s3_client.create_multipart_upload(Bucket=bucket, Key=f"p/{'a' * 64}.mp4")
    assert store.sweep(older_than_s=-86400 * 365 * 30) in (0, 1)
    assert store.sweep(older_than_s=-86400 * 365 * 30) == 0


def test_other_prefixes_of_the_bucket_are_left_alone(s3_url, s3_client, bucket):
    store = S3MediaStore(bucket, "mine", access=access(s3_url))
    stored = store.put([picture()], limit=MB)
    s3_client.put_object(Bucket=bucket, Key=f"other/{stored.name}", Body=b"x")
    s3_client.put_object(Bucket=bucket, Key="mine/notes.txt", Body=b"x")
    assert [entry.media for entry in store.entries()] == [
        StoredMedia(stored.id, "png", "image/png", stored.size)
    ]


def test_a_bucket_that_is_missing_is_unavailable(s3_url):
    store = S3MediaStore("no-such-bucket", access=access(s3_url))
    for act in (store.ping, store.usage, lambda: store.put([b"x"], limit=10)):
        with pytest.raises(StorageUnavailable):
            act()


def test_a_service_that_is_down_is_unavailable_within_seconds():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    store = S3MediaStore("bucket", access=access(f"http://127.0.0.1:{port}"))
    began = time.monotonic()
    with pytest.raises(StorageUnavailable):
        store.put([picture()], limit=MB)
    assert time.monotonic() - began < 12


def test_a_service_that_hangs_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        store = S3MediaStore("bucket", access=access(f"http://127.0.0.1:{port}"))
        began = time.monotonic()
        with pytest.raises(StorageUnavailable):
            store.put([picture()], limit=MB)
        assert time.monotonic() - began < 15


def test_the_standard_variables_are_enough(s3_url, s3_client, bucket):
    code = f"""
from gateway.stores.media import open_media_store
store = open_media_store("s3://{bucket}/below")
store.ping()
print(store.put([b"hello"], limit=10).name)
"""
    variables = {
        "AWS_ENDPOINT_URL_S3": s3_url.replace("127.0.0.1", "localhost"),
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    answer = s3_client.get_object(Bucket=bucket, Key=f"below/{result.stdout.strip()}")
    assert answer["Body"].read() == b"hello"


@pytest.mark.parametrize(
    ("status", "code", "attempts"),
    [(503, "SlowDown", {2, 3}), (500, "InternalError", {2, 3}), (403, "AccessDenied", {1})],
)
def test_a_service_that_refuses_is_asked_again_only_when_that_may_help(status, code, attempts):
    asked = []

    class Refusing(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            asked.append(self.rfile.read(int(self.headers["Content-Length"])))
            body = f"<Error><Code>{code}</Code></Error>".encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        store = S3MediaStore("bucket", access=access(f"http://127.0.0.1:{server.server_port}"))
        with pytest.raises(StorageUnavailable):
            store.put([picture()], limit=MB)
        server.shutdown()
        thread.join()
    # The pauses between attempts are random, and the third may come too late.
    assert len(asked) in attempts
    assert set(asked) == {picture()}


def test_boto3_is_loaded_only_when_a_bucket_is_used():
    code = """
import sys
from gateway.stores.media import open_media_store
open_media_store("file:media"), open_media_store("s3://bucket/prefix")
assert "boto3" not in sys.modules and "botocore" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


# Settings


@pytest.mark.parametrize(
    "location", ["", "file:", "media", "s3://", "s3:bucket", "s3://UPPER/x", "http://x/y"]
)
def test_a_location_that_means_no_store_is_refused(location):
    with pytest.raises(ValueError, match=r"file:DIR or s3://bucket/prefix"):
        open_media_store(location)


def test_only_pictures_videos_and_sounds_are_shown_inline():
    assert all(map(inline, ["image/png", "video/mp4", "audio/mpeg"]))
    assert not any(
        map(inline, ["application/octet-stream", "application/pdf", "image/svg+xml", "text/html"])
    )
