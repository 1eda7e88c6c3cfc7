"""Media in a bucket of an S3-compatible service."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from gateway.domain.errors import StorageUnavailable
from gateway.domain.media import StoredMedia
from gateway.storage.media.s3 import S3MediaStore
from tests.storage.media.kit import MB, access, content, picture, pieces


def test_a_presigned_link_gives_the_bytes_with_our_headers(s3, bucket):
    store = S3MediaStore(bucket, access=access(s3.url))
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


def test_large_objects_are_uploaded_in_parts(s3, bucket):
    store = S3MediaStore(bucket, "p", access=access(s3.url))
    data = os.urandom(20 * MB)
    stored = store.put(pieces(data, MB), limit=100 * MB)
    head = s3.client.head_object(Bucket=bucket, Key=f"p/{stored.name}")
    assert head["ETag"].strip('"').endswith("-3")
    assert content(store, stored, 9 * MB, 9 * MB + 10) == data[9 * MB : 9 * MB + 10]
    assert hashlib.sha256(content(store, stored)).hexdigest() == stored.id


def test_uploads_that_were_never_finished_are_swept(s3, bucket):
    store = S3MediaStore(bucket, "p", access=access(s3.url))
    s3.client.create_multipart_upload(Bucket=bucket, Key=f"p/{'a' * 64}.mp4")
    assert store.sweep(older_than_s=-86400 * 365 * 30) in (0, 1)
    assert store.sweep(older_than_s=-86400 * 365 * 30) == 0


def test_other_prefixes_of_the_bucket_are_left_alone(s3, bucket):
    store = S3MediaStore(bucket, "mine", access=access(s3.url))
    stored = store.put([picture()], limit=MB)
    s3.client.put_object(Bucket=bucket, Key=f"other/{stored.name}", Body=b"x")
    s3.client.put_object(Bucket=bucket, Key="mine/notes.txt", Body=b"x")
    assert [entry.media for entry in store.entries()] == [
        StoredMedia(stored.id, "png", "image/png", stored.size)
    ]


def test_a_bucket_that_is_missing_is_unavailable(s3):
    store = S3MediaStore("no-such-bucket", access=access(s3.url))
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
    assert time.monotonic() - began < 30


def test_a_service_that_hangs_is_given_up():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        store = S3MediaStore("bucket", access=access(f"http://127.0.0.1:{port}"))
        began = time.monotonic()
        with pytest.raises(StorageUnavailable):
            store.put([picture()], limit=MB)
        assert time.monotonic() - began < 30


def test_the_standard_variables_are_enough(s3, bucket):
    code = f"""
from gateway.storage.media.open import open_media_store
store = open_media_store("s3://{bucket}/below")
store.ping()
print(store.put([b"hello"], limit=10).name)
"""
    variables = {
        "AWS_ENDPOINT_URL_S3": s3.url.replace("127.0.0.1", "localhost"),
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
    answer = s3.client.get_object(Bucket=bucket, Key=f"below/{result.stdout.strip()}")
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
from gateway.storage.media.open import open_media_store
open_media_store("file:media"), open_media_store("s3://bucket/prefix")
assert "boto3" not in sys.modules and "botocore" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
