"""A streamed JSON array."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any


def elements(chunks: Iterable[bytes]) -> Iterator[list[Any]]:
    raise NotImplementedError
