"""Requests that carry an Idempotency-Key: one does the work, the others get its answer."""

from __future__ import annotations

import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Connection, Update, and_, bindparam, case, delete, or_, select, update
from sqlalchemy.sql.dml import ReturningInsert

from gateway.domain.errors import Conflict
from gateway.storage.db.engine import Database, Write
from gateway.storage.db.rows import remove
from gateway.storage.db.schema import idempotency, lapsed, now

if TYPE_CHECKING:
    from gateway.storage.media.base import Upsert


@dataclass(frozen=True, slots=True)
class New:
    """The request is the caller's to serve."""

    token: str


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


_KEPT = ("scope", "key", "attempt")
_EXPIRED = idempotency.c.expires_at <= now()
_ABANDONED = and_(
    idempotency.c.status.is_(None),
    idempotency.c.job_id.is_(None),  # a job is moved on by other processes
    lapsed(idempotency.c.lease_expires_at),
)
_LOOK = select(idempotency).where(
    idempotency.c.scope == bindparam("of_scope"),
    idempotency.c.key == bindparam("of_key"),
    ~_EXPIRED,
)


class IdempotencyStore:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._claim = _claim(database.insert(idempotency))

    def begin(
        self,
        scope: str,
        key: str,
        fingerprint: str,
        *,
        ttl_s: float = 86_400,
        lease_s: float = 60,
    ) -> New | Running | Done | Mismatch:
        """Win the key, or learn what became of it. New must end in `finish` or `abandon`."""
        while True:
            token = secrets.token_hex(16)
            if self._win(scope, key, fingerprint, token, ttl_s, lease_s):
                return New(token)
            found = self.look(scope, key, fingerprint)
            if found is not None:  # else it was given up in between
                return found

    def look(self, scope: str, key: str, fingerprint: str) -> Running | Done | Mismatch | None:
        """What became of the key, without winning it; None when nobody has it."""
        with self._database.read() as connection:
            row = connection.execute(_LOOK, {"of_scope": scope, "of_key": key}).first()
        if row is None:
            return None
        if row.fingerprint != fingerprint:
            return Mismatch()
        if row.status is None:
            return Running(row.job_id)
        return Done(row.status, row.headers, row.body, row.job_id)

    def attach(self, token: str, job_id: str) -> Write:
        """To be written with a job that the request becomes, and that others may follow.

        Raises Conflict when another request has taken over: that one is served.
        """
        statement = _unanswered(token).values(job_id=job_id)

        def write(connection: Connection) -> None:
            if connection.execute(statement).rowcount == 0:
                raise Conflict("Another request with this Idempotency-Key is served by now.")

        return write

    def renew(self, tokens: Collection[str], *, lease_s: float = 60) -> int:
        """Hold requests that are still being served; returns how many are still held."""
        statement = (
            update(idempotency)
            .where(idempotency.c.token.in_(tokens), idempotency.c.status.is_(None))
            .values(lease_expires_at=now() + lease_s)
        )
        with self._database.write() as connection:
            return connection.execute(statement).rowcount

    def finish(
        self,
        token: str,
        *,
        status: int,
        headers: Mapping[str, str],
        body: bytes,
        keep_s: float | None = None,
    ) -> bool:
        """Keep the answer for those who ask again; False when another has taken over.

        For as long as the key was won for, or for `keep_s`.
        """
        statement = _unanswered(token).values(status=status, headers=dict(headers), body=body)
        if keep_s is not None:
            statement = statement.values(expires_at=now() + keep_s)
        with self._database.write(durable=True) as connection:
            return connection.execute(statement).rowcount > 0

    def abandon(self, token: str, job_id: str | None = None) -> bool:
        """Forget the request, so that it may be sent again.

        Not when it has become a job, unless that is the one named.
        """
        statement = delete(idempotency).where(
            idempotency.c.token == token,
            idempotency.c.status.is_(None),
            idempotency.c.job_id.is_not_distinct_from(job_id),
        )
        with self._database.write() as connection:
            return connection.execute(statement).rowcount > 0

    def purge(self) -> int:
        return remove(self._database, idempotency, _EXPIRED)

    def _win(
        self, scope: str, key: str, fingerprint: str, token: str, ttl_s: float, lease_s: float
    ) -> bool:
        given = {
            "scope": scope,
            "key": key,
            "fingerprint": fingerprint,
            "token": token,
            "ttl_s": ttl_s,
            "lease_s": lease_s,
        }
        with self._database.write() as connection:
            return connection.execute(self._claim, given).first() is not None


def _unanswered(token: str) -> Update:
    return update(idempotency).where(idempotency.c.token == token, idempotency.c.status.is_(None))


def _claim(insert: Upsert) -> ReturningInsert[int]:
    """Take a key that is free, expired or abandoned; returns a row if it was."""
    insert = insert.values(
        attempt=1,
        lease_expires_at=now() + bindparam("lease_s"),
        expires_at=now() + bindparam("ttl_s"),
    )
    fresh = insert.excluded
    statement = insert.on_conflict_do_update(
        index_elements=[idempotency.c.scope, idempotency.c.key],
        set_={
            "attempt": case((_EXPIRED, 1), else_=idempotency.c.attempt + 1),
            **{c.name: fresh[c.name] for c in idempotency.c if c.name not in _KEPT},
        },
        where=or_(_EXPIRED, and_(_ABANDONED, idempotency.c.fingerprint == fresh.fingerprint)),
    )
    return statement.returning(idempotency.c.attempt)
