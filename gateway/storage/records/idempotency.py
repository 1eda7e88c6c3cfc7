"""Requests that carry an Idempotency-Key: one is served, equal ones get its answer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import Connection, Update, bindparam, delete, select, update
from sqlalchemy.sql.dml import ReturningInsert

from gateway.domain.errors import Conflict, StorageUnavailable
from gateway.storage.db.engine import Database, Write
from gateway.storage.db.processes import Processes
from gateway.storage.db.rows import remove
from gateway.storage.db.schema import idempotency

if TYPE_CHECKING:
    from gateway.storage.media.base import Upsert


@dataclass(frozen=True, slots=True)
class Claim:
    """The right, and the duty, to serve the request of a key: ends in `finish` or `abandon`."""

    scope: str
    key: str


@dataclass(frozen=True, slots=True)
class Running:
    """An equal request is being served, as this job if it has become one."""

    job_id: str | None


@dataclass(frozen=True, slots=True)
class Done:
    status: int
    headers: Mapping[str, str]
    body: bytes
    job_id: str | None


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The key belongs to another request."""


Found = Running | Done | Mismatch

_THIS = (
    idempotency.c.scope == bindparam("of_scope"),
    idempotency.c.key == bindparam("of_key"),
)
_GET = select(idempotency).where(*_THIS, idempotency.c.expires_at > bindparam("now"))
_TAKE_OVER = update(idempotency).where(
    *_THIS,
    idempotency.c.status.is_(None),
    idempotency.c.job_id.is_(None),
    idempotency.c.process.is_not_distinct_from(bindparam("of_process")),
)


class IdempotencyStore:
    """A key is claimed by a process; what a dead process claimed is free, unless it is a job."""

    def __init__(
        self,
        database: Database,
        processes: Processes,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._processes = processes
        self._clock = clock
        self._insert = _insert(database.insert(idempotency))
        self._unreleased: set[Claim] = set()  # while the database was away

    def begin(
        self, scope: str, key: str, fingerprint: str, *, ttl_s: float = 86_400
    ) -> Claim | Found:
        """Claim the key, or tell the state of the equal request."""
        claim = Claim(scope, key)
        process = self._processes.register()
        given = {
            "scope": scope,
            "key": key,
            "fingerprint": fingerprint,
            "process": process,
            "now": self._clock(),
            "expires_at": self._clock() + ttl_s,
        }
        self._release()
        while True:
            with self._database.write() as connection:
                if connection.execute(self._insert, given).first() is not None:
                    return claim
            row = self._row(scope, key)
            if row is None:
                continue  # it was abandoned in between
            found = _found(row, fingerprint)
            if not (isinstance(found, Running) and self._abandoned(row)):
                return found
            if self._take_over(row, process):
                return claim

    def find(self, scope: str, key: str, fingerprint: str) -> Found | None:
        """The state of the key's request; None when nobody serves or has answered it."""
        row = self._row(scope, key)
        if row is None:
            return None
        found = _found(row, fingerprint)
        return None if isinstance(found, Running) and self._abandoned(row) else found

    def attach(self, claim: Claim, job_id: str) -> Write:
        """To be written with the job that the request becomes, and that others may follow.

        Raises Conflict when another request has taken the key over: that one is served.
        """
        statement = self._claimed(claim).values(job_id=job_id)

        def write(connection: Connection) -> None:
            if connection.execute(statement).rowcount == 0:
                raise Conflict("Another request with this Idempotency-Key is being served.")

        return write

    def finish(
        self,
        claim: Claim,
        *,
        status: int,
        headers: Mapping[str, str],
        body: bytes,
        keep_s: float | None = None,
    ) -> bool:
        """Keep the answer for equal requests; False when another has taken the key over.

        For as long as the key was claimed for, or for `keep_s`.
        """
        statement = self._claimed(claim).values(status=status, headers=dict(headers), body=body)
        if keep_s is not None:
            statement = statement.values(expires_at=self._clock() + keep_s)
        try:
            with self._database.write(durable=True) as connection:
                return connection.execute(statement).rowcount > 0
        except StorageUnavailable:
            self._unreleased.add(claim)
            raise

    def abandon(self, claim: Claim, job_id: str | None = None) -> bool:
        """Free the key, so that the request may be sent again.

        Not when the request has become a job, unless that is the one named.
        """
        statement = delete(idempotency).where(
            idempotency.c.scope == claim.scope,
            idempotency.c.key == claim.key,
            idempotency.c.process == self._processes.id,
            idempotency.c.status.is_(None),
            idempotency.c.job_id.is_not_distinct_from(job_id),
        )
        try:
            with self._database.write() as connection:
                return connection.execute(statement).rowcount > 0
        except StorageUnavailable:
            self._unreleased.add(claim)
            raise

    def _release(self) -> None:
        """Give back what could not be given back while the database was away."""
        while self._unreleased:
            self.abandon(self._unreleased.pop())

    def purge(self) -> int:
        """Delete what has expired; returns how many."""
        return remove(self._database, idempotency, idempotency.c.expires_at <= self._clock())

    def _row(self, scope: str, key: str) -> Any:
        given = {"of_scope": scope, "of_key": key, "now": self._clock()}
        with self._database.read() as connection:
            return connection.execute(_GET, given).first()

    def _abandoned(self, row: Any) -> bool:
        """Tell whether a request is neither answered, nor a job, nor being served."""
        if row.status is not None or row.job_id is not None:
            return False
        return row.process is None or bool(self._processes.dead([row.process]))

    def _take_over(self, row: Any, process: str) -> bool:
        given = {"of_scope": row.scope, "of_key": row.key, "of_process": row.process}
        with self._database.write() as connection:
            return connection.execute(_TAKE_OVER, given | {"process": process}).rowcount > 0

    def _claimed(self, claim: Claim) -> Update:
        return update(idempotency).where(
            idempotency.c.scope == claim.scope,
            idempotency.c.key == claim.key,
            idempotency.c.process == self._processes.id,
            idempotency.c.status.is_(None),
        )


def _found(row: Any, fingerprint: str) -> Found:
    if row.fingerprint != fingerprint:
        return Mismatch()
    if row.status is None:
        return Running(row.job_id)
    return Done(row.status, row.headers, row.body, row.job_id)


def _insert(insert: Upsert) -> ReturningInsert[str]:
    """Claim a key that is free or expired; returns a row if it was."""
    fresh = insert.excluded
    statement = insert.on_conflict_do_update(
        index_elements=[idempotency.c.scope, idempotency.c.key],
        set_={c.name: fresh[c.name] for c in idempotency.c if not c.primary_key},
        where=idempotency.c.expires_at <= bindparam("now"),
    )
    return statement.returning(idempotency.c.key)
