"""PostgreSQL through psycopg, with a bound on every kind of waiting."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.pq import TransactionStatus
from sqlalchemy import URL, Connection, Dialect, Engine, Table, event, func, select
from sqlalchemy.dialects.postgresql import Insert, insert
from sqlalchemy.engine.interfaces import DBAPIConnection, ExceptionContext
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection, QueuePool
from sqlalchemy.util.queue import Empty

from gateway.domain.errors import StorageUnavailable
from gateway.storage.media.base import MIGRATION_WAIT_S, pooled

_LOOK_S = 0.1
_GRACE_S = 2.0  # after which the server should have ended a statement itself
_MIGRATION_LOCK = 0x67617465776179

_READ_ONLY = "25006"  # which a session may stay when the database no longer is
_OPERATOR_INTERVENTION = "57P"  # by the operator, with the server, with the database

T = TypeVar("T")


class Postgresql:
    serial_writes = False

    def __init__(self, url: URL, wait_s: float, connections: int) -> None:
        self._url = url.set(drivername="postgresql+psycopg")
        self._wait_s = wait_s
        self._connections = connections

    def engines(self) -> tuple[Engine, Engine]:
        size, wait_s = self._connections, self._wait_s
        engine = pooled(self._url, self._arguments(), size=size, wait_s=wait_s, kind=_Pool)
        event.listen(engine, "do_connect", self._connect)
        event.listen(engine, "checkout", _check_open)
        event.listen(engine, "handle_error", _end_useless)
        return engine, engine

    def begin(self, connection: Connection, *, durable: bool) -> None:
        connection.exec_driver_sql("BEGIN")  # durable as the server is set up to be

    def insert(self, table: Table) -> Insert:
        return insert(table)

    def ping(self, connection: Connection) -> None:
        if connection.exec_driver_sql("SHOW transaction_read_only").scalar() == "on":
            connection.invalidate()
            message = "The gateway's database takes no writes."
            raise StorageUnavailable(message, retry_after=2.0).because("it is read-only")

    def begin_migration(self, connection: Connection) -> None:
        driver = connection.connection.driver_connection
        assert isinstance(driver, _Connection)
        driver.silence_s = None
        self.begin(connection, durable=True)
        connection.exec_driver_sql("SET LOCAL statement_timeout = 0")
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {int(MIGRATION_WAIT_S * 1000)}")
        connection.execute(select(func.pg_advisory_xact_lock(_MIGRATION_LOCK)))

    def _connect(
        self,
        dialect: Dialect,
        entry: ConnectionPoolEntry,
        args: list[Any],
        options: dict[str, Any],
    ) -> DBAPIConnection:
        connection = _Connection.connect(*args, **options)
        connection.silence_s = self._wait_s + _GRACE_S
        return connection  # type: ignore[return-value]

    def _arguments(self) -> Mapping[str, Any]:
        """Arguments that the URL does not give; every statement commits by itself until BEGIN."""
        wait_ms = int(self._wait_s * 1000)
        arguments = {
            "application_name": "gateway",
            "connect_timeout": str(max(2, int(self._wait_s))),
            "keepalives_idle": "30",
            "target_session_attrs": "read-write",  # of several hosts the one that takes writes
            "options": f"-c statement_timeout={wait_ms} -c lock_timeout={wait_ms}"
            f" -c idle_in_transaction_session_timeout={wait_ms}",
        }
        given = self._url.query
        return {"autocommit": True} | {k: v for k, v in arguments.items() if k not in given}


class _Pool(QueuePool):
    """Makes do with the connections it has where the server gives no more of them."""

    def _do_get(self) -> ConnectionPoolEntry:
        give_up_at = time.monotonic() + self.timeout()
        try:
            return super()._do_get()
        except psycopg.OperationalError:  # libpq does not tell by a code why
            while self.size() + self.overflow() > 0 and time.monotonic() < give_up_at:
                with suppress(Empty):
                    return self._pool.get(True, _LOOK_S)
            raise


class _Connection(psycopg.Connection[Any]):
    """Gives up on a server that has fallen silent, for which psycopg would wait for ever."""

    silence_s: float | None = None

    def wait(self, gen: PQGen[T], interval: float = 0.1, timeout: float | None = None) -> T:
        try:
            return super().wait(gen, interval, self.silence_s if timeout is None else timeout)
        except psycopg.OperationalError:
            if self.pgconn.transaction_status == TransactionStatus.ACTIVE:
                self.pgconn.finish()  # its answer may still come, to the wrong question
            raise


def _check_open(
    connection: DBAPIConnection, entry: ConnectionPoolEntry, proxy: PoolProxiedConnection
) -> None:
    """Refuse a connection that the server has closed, without a round trip."""
    assert isinstance(connection, psycopg.Connection)
    try:
        connection.pgconn.consume_input()  # the server's goodbye
        connection.pgconn.consume_input()  # and that it has hung up
    except psycopg.OperationalError as err:
        raise DisconnectionError("the server closed the connection") from err


def _end_useless(context: ExceptionContext) -> None:
    """Mark a failure that the other pooled connections share as a disconnect."""
    state = getattr(context.original_exception, "sqlstate", None) or ""
    if state == _READ_ONLY or state.startswith(_OPERATOR_INTERVENTION):
        context.is_disconnect = True
