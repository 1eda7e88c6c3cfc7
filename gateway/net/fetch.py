"""The guarded door for URLs named by callers or vendors."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any


class Fetched:
    mime_type: str
    size: int | None

    def chunks(self) -> Iterator[bytes]:
        raise NotImplementedError


class Fetcher:
    def __init__(
        self,
        *,
        allow_private: str = "off",
        trusted: Collection[str] = (),
        connect_s: float = 5,
        first_byte_s: float = 10,
        total_s: float = 30,
        resolver: Callable[..., Any] | None = None,
        ca_file: str | None = None,
    ) -> None:
        raise NotImplementedError

    @contextmanager
    def open(
        self,
        url: str,
        *,
        limit: int,
        headers: Mapping[str, str] | None = None,
        vendor: bool = False,
        accept_redirects: int = 3,
        total_s: float | None = None,
    ) -> Iterator[Fetched]:
        raise NotImplementedError
