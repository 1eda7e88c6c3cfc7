"""Outbound HTTP to vendors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds each phase of an exchange may take."""

    connect_s: float = 5
    first_byte_s: float = 60
    idle_s: float = 60
    total_s: float = 600


class Body(Protocol):
    """A streamed request body of known length."""

    @property
    def size(self) -> int: ...

    def chunks(self) -> Iterator[bytes]: ...


class Answer:
    status: int
    headers: Mapping[str, str]

    def chunks(self) -> Iterator[bytes]:
        raise NotImplementedError

    def read(self, limit: int = 32 * MIB) -> bytes:
        raise NotImplementedError

    def json(self, limit: int = 32 * MIB) -> Any:
        raise NotImplementedError


class Http:
    def __init__(
        self,
        *,
        timeouts: Timeouts = Timeouts(),  # noqa: B008
        pool_size: int = 1000,
        ca_file: str | None = None,
    ) -> None:
        raise NotImplementedError

    @contextmanager
    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | Body | None = None,
        timeouts: Timeouts | None = None,
    ) -> Iterator[Answer]:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError
