"""What bytes are, by looking at them."""

from __future__ import annotations

from gateway.domain.media import Blob


def sniff(head: bytes) -> str | None:
    raise NotImplementedError


def dimensions(blob: Blob) -> tuple[int, int] | None:
    raise NotImplementedError
