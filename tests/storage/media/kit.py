"""Bytes to keep, and what is kept of them."""

from __future__ import annotations

import io
from collections.abc import Iterator

from PIL import Image

from gateway.domain.accounts import Secret
from gateway.domain.media import StoredMedia
from gateway.storage.media.s3 import S3Access
from gateway.storage.media.store import MediaStore

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
