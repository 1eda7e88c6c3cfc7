"""What the two databases have in common, and what each must do its own way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import orjson
from sqlalchemy import URL, Connection, Engine, create_engine

WAIT_S = 5.0  # for a connection, for a lock, for an answer


class Backend(Protocol):
    serial_writes: bool  # one writer at a time, so that even one statement is a transaction

    def engines(self) -> tuple[Engine, Engine]:
        """For reading and for writing. Their statements commit by themselves until `begin`."""
        ...

    def prepare(self) -> None:
        """Make sure that there is a place for the schema."""
        ...

    def begin(self, connection: Connection, wait_s: float = WAIT_S) -> None: ...

    def begin_migration(self, connection: Connection, wait_s: float) -> None:
        """Begin, once no other process changes the schema."""
        ...


def pooled(url: URL, size: int, arguments: Mapping[str, Any]) -> Engine:
    return create_engine(
        url,
        connect_args=dict(arguments),
        pool_size=size,
        max_overflow=0,
        pool_timeout=WAIT_S,
        hide_parameters=True,
        json_serializer=lambda value: orjson.dumps(value).decode(),
        json_deserializer=orjson.loads,
    )
