"""Vendor sessions that exist or may exist, written down before they are made."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, fields

from sqlalchemy import bindparam, delete, exists, func, insert, select, update

from gateway.storage.db.engine import Database
from gateway.storage.db.schema import changes, lapsed, now, sessions

_PIECE = 500
_FARTHEST_S = 1800.0  # no deletion is put off for so long


@dataclass(frozen=True, slots=True)
class JournaledSession:
    """`account` is None for a caller's own credential, `resource` until the vendor named it."""

    label: str
    upstream: str
    account: str | None
    resource: str | None
    attempts: int
    created_at: float


@dataclass(frozen=True, slots=True)
class JournalCounts:
    """`lapsed` wait for a sweeper; `failing` could not be deleted at the first attempt."""

    open: int
    lapsed: int
    failing: int


_COLUMNS = [sessions.c[field.name] for field in fields(JournaledSession)]
_DUE = lapsed(sessions.c.due_at, farthest_s=_FARTHEST_S)
_THIS = sessions.c.label == bindparam("of_label")
_ADD = insert(sessions).values(closing=False, attempts=0, due_at=now() + bindparam("ttl_s"))
_UPDATE = update(sessions).where(_THIS)
_REMOVE = delete(sessions).where(_THIS)


class SessionJournalStore:
    """A row belongs to the process `owner_token` for as long as that process renews it."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def add(
        self,
        label: str,
        *,
        upstream: str,
        account: str | None,
        owner_token: str,
        ttl_s: float = 30,
    ) -> None:
        given = {
            "label": label,
            "upstream": upstream,
            "account": account,
            "owner_token": owner_token,
            "ttl_s": ttl_s,
            "created_at": self._clock(),
        }
        with self._database.write() as connection:
            connection.execute(_ADD, given)

    def named(self, label: str, resource: str) -> None:
        with self._database.write() as connection:
            connection.execute(_UPDATE, {"of_label": label, "resource": resource})

    def closing(self, label: str) -> None:
        """Its owner has given it up: renewed no more, it falls to a sweeper."""
        with self._database.write() as connection:
            connection.execute(_UPDATE, {"of_label": label, "closing": True})

    def closed(self, label: str) -> None:
        """The vendor has it no more."""
        with self._database.write() as connection:
            connection.execute(_REMOVE, {"of_label": label})

    def renew(self, owner_token: str, *, ttl_s: float = 30) -> int:
        """Hold all sessions that a process has open; returns how many there are."""
        statement = (
            update(sessions)
            .where(sessions.c.owner_token == owner_token, ~sessions.c.closing)
            .values(due_at=now() + ttl_s)
        )
        with self._database.write() as connection:
            return connection.execute(statement).rowcount

    def oldest(self, limit: int) -> list[JournaledSession]:
        query = select(*_COLUMNS).order_by(sessions.c.created_at).limit(limit)
        with self._database.read() as connection:
            return [JournaledSession(*row) for row in connection.execute(query)]

    def due(self) -> bool:
        """Whether `lapsed` would find anything."""
        query = select(exists().where(_DUE))
        with self._database.write() as connection:  # so that it waits for what renewals wait for
            return bool(connection.scalar(query))

    def lapsed(
        self, owner_token: str, *, limit: int = 100, ttl_s: float = 60
    ) -> list[JournaledSession]:
        """Take over abandoned sessions and failed deletions that are due, for `ttl_s`."""
        due = (
            select(sessions.c.label)
            .where(_DUE)
            .order_by(sessions.c.due_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
            .cte()  # which PostgreSQL runs once, whatever it thinks of the rest
        )
        statement = (
            update(sessions)
            .where(sessions.c.label.in_(select(due.c.label)))
            .values(owner_token=owner_token, closing=True, due_at=now() + ttl_s)
            .returning(*_COLUMNS)
        )
        with self._database.write() as connection:
            return [JournaledSession(*row) for row in connection.execute(statement)]

    def failed(self, label: str, *, retry_in_s: float) -> int:
        """Put a deletion off; returns how often it has failed."""
        statement = _UPDATE.values(
            closing=True, attempts=sessions.c.attempts + 1, due_at=now() + retry_in_s
        )
        with self._database.write() as connection:
            found = connection.execute(
                statement.returning(sessions.c.attempts), {"of_label": label}
            )
            return found.scalar() or 0

    def known(self, labels: Collection[str]) -> set[str]:
        """Those of `labels` that have a row."""
        found: set[str] = set()
        rest = list(labels)
        while rest:
            piece, rest = rest[:_PIECE], rest[_PIECE:]
            with self._database.read() as connection:
                query = select(sessions.c.label).where(sessions.c.label.in_(piece))
                found |= set(connection.scalars(query))
        return found

    def installation(self) -> str:
        """A word by which those who share this database tell their sessions from others'.

        Drawn when it is first asked for, and the same ever after.
        """
        topic = changes.c.topic == "installation"
        drawn = self._database.insert(changes).values(
            topic="installation", version=secrets.randbits(48)
        )
        with self._database.begin(durable=True) as connection:
            connection.execute(drawn.on_conflict_do_nothing())
            number = connection.execute(select(changes.c.version).where(topic)).scalar_one()
        return f"{number:012x}"

    def counts(self) -> JournalCounts:
        query = select(
            func.count(),
            func.count().filter(_DUE),
            func.count().filter(sessions.c.attempts > 0),
        ).select_from(sessions)
        with self._database.read() as connection:
            total, due, failing = connection.execute(query).one()
        return JournalCounts(open=total - due - failing, lapsed=due, failing=failing)
