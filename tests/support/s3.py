"""An S3-compatible service, and buckets of a test's own in it."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
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
