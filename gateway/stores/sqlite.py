"""SQLite: one file, many readers, one writer at a time."""

from __future__ import annotations

import random
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import URL, Connection, Engine, event
from sqlalchemy.pool import ConnectionPoolEntry

from gateway.stores.backend import WAIT_S, pooled

_READERS = 4


class Sqlite:
    serial_writes = True

    def __init__(self, url: URL) -> None:
        if not url.database or url.database == ":memory:":
            raise ValueError("a SQLite database needs a file: sqlite:///PATH")
        self._url = url
        self._path = Path(url.database)

    def engines(self) -> tuple[Engine, Engine]:
        """One for reading and one for writing.

        The single writing connection makes threads and greenlets queue for their turn.
        """
        reader, writer = self._engine(_READERS), self._engine(1)
        event.listen(reader, "connect", _run("PRAGMA query_only=ON"))
        event.listen(writer, "connect", _run("PRAGMA busy_timeout=0"))
        return reader, writer

    def prepare(self) -> None:
        """Create the file, which holds prompts and credentials, for its owner alone."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._path.touch(mode=0o600)

    def begin(self, connection: Connection, wait_s: float = WAIT_S) -> None:
        _patiently(connection, "BEGIN IMMEDIATE", wait_s)

    def begin_migration(self, connection: Connection, wait_s: float) -> None:
        _patiently(connection, "PRAGMA journal_mode=WAL", wait_s)
        # A table that others refer to can only be rebuilt without the checks.
        connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
        self.begin(connection, wait_s)

    def _engine(self, size: int) -> Engine:
        # Without an isolation level the driver begins no transactions of its own.
        arguments = {"timeout": WAIT_S, "isolation_level": None, "check_same_thread": False}
        engine = pooled(self._url, size, arguments)
        for pragma in ("PRAGMA synchronous=NORMAL", "PRAGMA foreign_keys=ON"):
            event.listen(engine, "connect", _run(pragma))
        return engine


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
