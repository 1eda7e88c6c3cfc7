"""Common parts of the two databases, and the interface that each implements."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import orjson
from sqlalchemy import URL, Connection, Engine, Pool, Table, create_engine

if TYPE_CHECKING:
    # Each backend imports its own: a dialect is a thirtieth of a worker.
    from sqlalchemy.dialects import postgresql, sqlite

    Upsert = sqlite.Insert | postgresql.Insert

MIGRATION_WAIT_S = 60.0  # for other processes that migrate


class Backend(Protocol):
    serial_writes: bool  # one writer at a time, so that even one statement is a transaction

    def engines(self) -> tuple[Engine, Engine]:
        """For reading and for writing. Their statements commit by themselves until `begin`."""
        ...

    def begin(self, connection: Connection, *, durable: bool) -> None: ...

    def insert(self, table: Table) -> Upsert: ...

    def ping(self, connection: Connection) -> None:
        """Raises StorageUnavailable when there can be no writes."""
        ...

    def begin_migration(self, connection: Connection) -> None:
        """Begin, once no other process changes the schema."""
        ...


def pooled(
    url: URL,
    arguments: Mapping[str, Any],
    *,
    size: int,
    wait_s: float,
    kind: type[Pool] | None = None,
) -> Engine:
    return create_engine(
        url,
        connect_args=dict(arguments),
        poolclass=kind,
        pool_size=size,
        max_overflow=0,
        pool_timeout=wait_s,
        hide_parameters=True,
        json_serializer=lambda value: orjson.dumps(value).decode(),
        json_deserializer=orjson.loads,
    )
