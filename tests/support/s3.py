"""An S3-compatible service, and buckets of a test's own in it."""

from __future__ import annotations

import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

REGION = "us-east-1"


@dataclass(frozen=True)
class S3Server:
    """What it holds belongs to the process, not to the server: hence the buckets' names."""

    url: str
    client: Any

    @classmethod
    @contextmanager
    def started(cls) -> Iterator[S3Server]:
        # Half a second that most runs of a few tests need not spend.
        import boto3
        from moto.server import ThreadedMotoServer

        server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        server.start()
        url = "http://{}:{}".format(*server.get_host_and_port())
        client = boto3.client(
            "s3",
            endpoint_url=url,
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        try:
            with closing(client):
                yield cls(url, client)
        finally:
            server.stop()

    def bucket(self) -> str:
        """The name of a new one."""
        name = f"media-{uuid.uuid4().hex}"
        self.client.create_bucket(Bucket=name)
        return name

    def settings(self, *, secret: str = "test") -> dict[str, str]:
        """A gateway's settings for a bucket of its own."""
        return {
            "GATEWAY_MEDIA": f"s3://{self.bucket()}/below",
            "AWS_ENDPOINT_URL_S3": self.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_DEFAULT_REGION": REGION,
        }


@contextmanager
def without_the_right_to_list_uploads(url: str) -> Iterator[str]:
    """The address of the same service for one whom its policy denies that."""

    class Policy(BaseHTTPRequestHandler):
        def _pass_on(self) -> None:
            if self.command == "GET" and "uploads" in self.path.partition("?")[2]:
                self._answer(403, b"<Error><Code>AccessDenied</Code></Error>", {})
                return
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            asked = urllib.request.Request(
                url + self.path, data=body or None, headers=dict(self.headers), method=self.command
            )
            try:
                with urllib.request.urlopen(asked, timeout=20) as answer:
                    self._answer(answer.status, answer.read(), answer.headers)
            except urllib.error.HTTPError as err:
                with err:
                    self._answer(err.code, err.read(), err.headers)

        do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass_on

        def _answer(self, status: int, body: bytes, headers: Any) -> None:
            self.send_response(status)
            kept = {k: v for k, v in headers.items() if k.lower() in ("etag", "last-modified")}
            for name, value in {"Content-Length": str(len(body)), **kept}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Policy) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
