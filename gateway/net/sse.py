"""Server-sent events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

DONE = b"data: [DONE]\n\n"


def batches(chunks: Iterable[bytes]) -> Iterator[list[bytes]]:
    raise NotImplementedError


def event_batches(chunks: Iterable[bytes]) -> Iterator[list[tuple[str, bytes]]]:
    raise NotImplementedError
