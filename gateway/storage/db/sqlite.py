"""SQLite: one file, many readers, one writer at a time."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, Table, event, literal, select
from sqlalchemy.dialects.sqlite import Insert, insert
from sqlalchemy.pool import ConnectionPoolEntry

from gateway.runtime.cooperative import run_in_thread
from gateway.storage.media.base import MIGRATION_WAIT_S, pooled

_READERS = 4


class Sqlite:
    serial_writes = True

    def __init__(self, url: URL, wait_s: float) -> None:
        if not url.database or url.database == ":memory:":
            raise ValueError("a SQLite database needs a file: sqlite:///PATH")
        self._url = url
        self._wait_s = wait_s
        self._path = Path(url.database)

    def engines(self) -> tuple[Engine, Engine]:
        """One for reading and one for writing.

        The single writing connection makes threads and greenlets queue for their turn.
        """
        reader, writer = self._engine(_READERS), self._engine(1)
        event.listen(reader, "connect", _run("PRAGMA query_only=ON"))
        event.listen(writer, "connect", _run("PRAGMA busy_timeout=0"))
        return reader, writer

    def begin(self, connection: Connection, *, durable: bool) -> None:
        driver = connection.connection.driver_connection
        assert isinstance(driver, _Connection)
        driver.set_durable(durable)
        _patiently(connection, "BEGIN IMMEDIATE", self._wait_s)

    def insert(self, table: Table) -> Insert:
        return insert(table)

    def ping(self, connection: Connection) -> None:
        connection.execute(select(literal(1)))

    def begin_migration(self, connection: Connection) -> None:
        _patiently(connection, "PRAGMA journal_mode=WAL", MIGRATION_WAIT_S)
        # A table that others refer to can only be rebuilt without the checks.
        connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
        _patiently(connection, "BEGIN IMMEDIATE", MIGRATION_WAIT_S)

    def _engine(self, size: int) -> Engine:
        # Without an isolation level the driver begins no transactions of its own.
        arguments = {
            "timeout": self._wait_s,
            "isolation_level": None,
            "check_same_thread": False,
            "factory": _Connection,
        }
        engine = pooled(self._url, arguments, size=size, wait_s=self._wait_s)
        event.listen(engine, "do_connect", self._create_file)
        for pragma in ("PRAGMA synchronous=NORMAL", "PRAGMA foreign_keys=ON"):
            event.listen(engine, "connect", _run(pragma))
        return engine

    def _create_file(self, *connecting: object) -> None:
        """For its owner alone: it will hold prompts and credentials."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.touch(mode=0o600)


class _Connection(sqlite3.Connection):
    """Its commits wait for the disk where they are to be durable, but hold nobody else up."""

    _durable = False

    def set_durable(self, durable: bool) -> None:
        if durable is not self._durable:
            self._durable = durable
            self.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")

    def commit(self) -> None:
        if self._durable and self.in_transaction:
            run_in_thread(super().commit)
        else:
            super().commit()

    def __del__(self) -> None:
        # A pool that is closed while this is lent drops it as it is, of which Python warns.
        with suppress(sqlite3.Error):
            self.close()


def _run(statement: str) -> Callable[[sqlite3.Connection, ConnectionPoolEntry], None]:
    def listener(connection: sqlite3.Connection, entry: ConnectionPoolEntry) -> None:
        connection.execute(statement)

    return listener


def _patiently(connection: Connection, statement: str, wait_s: float) -> None:
    """Repeat until no other process is in the way; SQLite's own waiting stops all greenlets."""
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    deadline = time.monotonic() + wait_s
    while True:
        try:
            driver.execute(statement)
        except sqlite3.OperationalError as err:
            busy = err.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > deadline:
                raise
            time.sleep(random.uniform(0.0002, 0.002))
        else:
            return
