"""Connections to the database."""

from __future__ import annotations

import os
import sqlite3
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from sqlalchemy import Connection, Engine, Table, inspect, make_url, select
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout

from gateway.domain.errors import StorageUnavailable
from gateway.runtime.backoff import Backoff
from gateway.runtime.throttled_log import ThrottledErrorLog, describe_error
from gateway.storage.db.schema import REVISION, metadata, versions
from gateway.storage.db.sqlite import Sqlite
from gateway.storage.media.base import Backend

if TYPE_CHECKING:
    from gateway.storage.media.base import Upsert


_AWAY = "The gateway's database is not available. Try again in a moment."
_NO_RIGHT = "42501"  # which the operator can give

Write = Callable[[Connection], object]
"""What is to be written with something else, in one transaction."""


class Database:
    """`read`, `write` and `begin` lend a connection; StorageUnavailable when there is none.

    Nothing slow belongs into their blocks. `wait_s` bounds every wait for a connection, for
    a lock and for an answer. Connections are opened when first needed and closed before a
    fork, so that no process uses another's. After a failed attempt to connect, calls are
    refused for `backoff_s` without another attempt.
    """

    def __init__(
        self,
        url: str,
        *,
        wait_s: float = 5.0,
        connections: int = 5,
        backoff_s: float = 1.0,
    ) -> None:
        """`connections`: of PostgreSQL, at most; every use is over in milliseconds.

        Raises ValueError when the URL is not one of sqlite or postgresql.
        """
        self._backend = _backend(url, wait_s, connections)
        self._hidden = _passwords(url)
        self._away = ThrottledErrorLog("database_is_away")
        self._reader, self._writer = self._backend.engines()
        self._backoff = Backoff(backoff_s)
        this = weakref.ref(self)
        os.register_at_fork(before=lambda: _close(this()))

    def __repr__(self) -> str:
        return f"Database({self._reader.url.render_as_string(hide_password=True)})"

    @contextmanager
    def read(self) -> Iterator[Connection]:
        with self._connection(self._reader) as connection:
            yield connection

    @contextmanager
    def write(self, *, durable: bool = False) -> Iterator[Connection]:
        """For one statement, which PostgreSQL commits without further round trips."""
        if self._backend.serial_writes:
            with self.begin(durable=durable) as connection:
                yield connection
        else:
            with self._connection(self._writer) as connection:
                yield connection

    @contextmanager
    def begin(self, *, durable: bool = False) -> Iterator[Connection]:
        """For statements that take effect together or not at all.

        The last seconds before a power cut may be lost in SQLite, as leases and counters can
        be. What is `durable` is on disk when the block ends, and with it all that was written
        before; it takes some milliseconds, for which other writers wait.
        """
        with self._connection(self._writer) as connection, connection.begin():
            self._backend.begin(connection, durable=durable)
            yield connection

    def insert(self, table: Table) -> Upsert:
        """An INSERT that knows ON CONFLICT, which both databases spell alike."""
        return self._backend.insert(table)

    def ping(self) -> None:
        with self.read() as connection:
            self._backend.ping(connection)

    def is_current(self) -> bool:
        """True if the schema is up to date."""
        with self.read() as connection:
            return _up_to_date(connection)

    def migrate(self) -> None:
        """Bring the schema up to date; of processes that do so at once one does the work."""
        with self.read() as connection:
            if _up_to_date(connection):
                return
        with self.migrating() as connection:
            if not inspect(connection).get_table_names():
                _create(connection)
            elif not _up_to_date(connection):
                from gateway.storage.db.migrations import upgrade  # a seventh of a worker

                upgrade(connection)

    @contextmanager
    def migrating(self) -> Iterator[Connection]:
        """A transaction in which the schema may change, one process at a time."""
        engine = self._backend.engines()[1]
        try:
            with self._translated(), engine.begin() as connection:
                self._backend.begin_migration(connection)
                yield connection
        finally:
            engine.dispose()

    @contextmanager
    def _connection(self, engine: Engine) -> Iterator[Connection]:
        if self._backoff.active:
            raise StorageUnavailable(_AWAY, retry_after=2.0)
        with self._translated():
            try:
                connection = engine.connect()
            except (DBAPIError, OSError):
                self._backoff.failed()
                raise
            with connection:
                yield connection

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Failures of the database, but not mistakes of the gateway, become StorageUnavailable."""
        try:
            yield
        except (IntegrityError, DataError):
            raise
        except (DBAPIError, PoolTimeout, sqlite3.OperationalError, OSError) as err:
            origin = (err.orig if isinstance(err, DBAPIError) else None) or err
            state = getattr(origin, "sqlstate", None)
            if isinstance(err, ProgrammingError) and state != _NO_RIGHT:
                raise
            cause = self._away.record(describe_error(origin, hidden=self._hidden))
            raise StorageUnavailable(_AWAY, retry_after=2.0).because(cause) from err

    def close(self) -> None:
        self._reader.dispose()
        self._writer.dispose()


def _close(database: Database | None) -> None:
    if database is not None:
        database.close()


def _backend(url: str, wait_s: float, connections: int) -> Backend:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ValueError("not a database URL") from None
    name = parsed.drivername.partition("+")[0]
    if name == "sqlite":
        return Sqlite(parsed, wait_s)
    if name in ("postgres", "postgresql"):
        from gateway.storage.db.postgresql import Postgresql  # its driver is a tenth of a worker

        return Postgresql(parsed, wait_s, connections)
    raise ValueError(f"{name} is not supported; use sqlite or postgresql")


def _create(connection: Connection) -> None:
    """Create the tables of an empty database, the same as the migrations would (tested)."""
    metadata.create_all(connection)
    versions.create(connection)
    connection.execute(versions.insert(), {"version_num": REVISION})


def _up_to_date(connection: Connection) -> bool:
    if not inspect(connection).has_table(versions.name):
        return False
    version = connection.scalar(select(versions.c.version_num))
    return version is not None and version >= REVISION


def _passwords(url: str) -> tuple[str, ...]:
    """Password of the URL, as written and percent-decoded."""
    written = urlsplit(url).password or ""
    return (written, unquote(written))
