"""Pictures, links to them, and what hands them to the media service."""

from __future__ import annotations

import hashlib
import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from PIL import Image

from gateway.domain.accounts import Caller
from gateway.domain.media import Media, MediaRef
from gateway.domain.requests import ImageRequest
from gateway.services.media.media import MediaService

ALICE, BOB = Caller("alice"), Caller("bob")
DAY = 86_400
MP4 = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(1000)
M4A = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(50)
WAV = b"RIFF\x24\0\0\0WAVEfmt " + bytes(100)
PDF = b"%PDF-1.7\n" + bytes(100)
HTML = b"<!doctype html><p>no picture"


def picture(width: int = 64, height: int = 48, colour: str = "red", form: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(file, form)
    return file.getvalue()


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def ref(url: str, kind: str = "image", param: str = "image", **more: object) -> MediaRef:
    return MediaRef(kind, param, url=url, **more)


def asking(*refs: MediaRef) -> ImageRequest:
    return ImageRequest("m", "p", images=refs)


def content(blob) -> bytes:
    return b"".join(blob.chunks())


class Clock:
    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@dataclass
class Site:
    """A web server whose paths are answered by functions; it remembers what was asked for."""

    url: str = ""
    pages: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    meeting: threading.Barrier = field(default_factory=lambda: threading.Barrier(3))
    dripping: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    left: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))


@dataclass
class Source:
    """A vendor's result."""

    chunks: list[bytes | Exception]
    mime_type: str = "image/png"
    url: str | None = None

    @contextmanager
    def open(self) -> Iterator[Iterator[bytes]]:
        yield self._read()

    def _read(self) -> Iterator[bytes]:
        for chunk in self.chunks:
            if isinstance(chunk, Exception):
                raise chunk
            yield chunk


def resolve(media: MediaService, *refs: MediaRef, caller: Caller = ALICE) -> list[Media]:
    with media.resolved(asking(*refs), caller) as request:
        return list(request.images)


def bytes_of(media: MediaService, link: MediaRef, *, caller: Caller = ALICE) -> bytes:
    with media.resolved(asking(link), caller) as request:
        return content(request.images[0].blob)
