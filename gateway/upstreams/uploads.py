"""Uploads of one request side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from threading import Event
from typing import TypeVar

from gateway.domain.errors import UpstreamError
from gateway.domain.media import Blob, Media
from gateway.runtime.concurrent import concurrent_map

_AT_ONCE = 4

T = TypeVar("T")


def uploads(upload: Callable[[Media, Event], T], attachments: Sequence[Media]) -> list[T]:
    """Results of `upload` for each attachment, in order; raises the first failure.

    The event is set once nobody waits any more: an upload that is still under way then
    fails at the next piece it reads, and one that has just ended has to undo itself.
    """
    over = Event()
    if len(attachments) < 2:
        return [upload(media, over) for media in attachments]

    def upload_until(media: Media) -> T:
        return upload(replace(media, blob=_Until(media.blob, over)), over)

    try:
        return concurrent_map(upload_until, attachments, at_once=_AT_ONCE)
    finally:
        over.set()


class _Until:
    """A blob that ends with its request, when its file is closed."""

    def __init__(self, blob: Blob, over: Event) -> None:
        self._blob = blob
        self._over = over
        self.size = blob.size

    @property
    def base64_size(self) -> int:
        return self._blob.base64_size

    def chunks(self) -> Iterator[bytes]:
        return self._pieces(self._blob.chunks())

    def base64(self) -> Iterator[bytes]:
        return self._pieces(self._blob.base64())

    def _pieces(self, pieces: Iterator[bytes]) -> Iterator[bytes]:
        while not self._over.is_set():
            piece = next(pieces, None)
            if piece is None:
                return
            yield piece
        raise UpstreamError("The request is over")
