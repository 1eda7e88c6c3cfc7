"""Changes that operators have made, and the newest requests for them to look at."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, insert, select

from gateway.storage.db import rows
from gateway.storage.db.engine import Database
from gateway.storage.db.schema import audit, recent_requests


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """`actor` is an admin key's name, or `command`; `details` never hold a secret."""

    id: int
    at: float
    actor: str
    action: str
    target: str
    details: Mapping[str, Any]


class AuditLog:
    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def add(self, actor: str, action: str, target: str, **details: Any) -> None:
        values = {"at": self._clock(), "actor": actor, "action": action, "target": target}
        with self._database.begin(durable=True) as connection:
            connection.execute(insert(audit).values(**values, details=details))

    def newest(self, *, limit: int, before: int | None = None) -> list[AuditEntry]:
        query = select(audit).order_by(audit.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(audit.c.id < before)
        with self._database.read() as connection:
            return [AuditEntry(**row._mapping) for row in connection.execute(query)]

    def purge(self, keep_s: float) -> int:
        return rows.remove(self._database, audit, audit.c.at < self._clock() - keep_s)


@dataclass(frozen=True, slots=True)
class RecentRequest:
    """`record` has status, times, attempts, cost and error of a request, and no contents."""

    id: int
    at: float
    owner: str
    record: Mapping[str, Any]


class RecentRequestStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    def add_many(self, added: Sequence[Mapping[str, Any]]) -> None:
        """Each has `at`, `owner` and `record`."""
        if added:
            with self._database.begin() as connection:
                connection.execute(insert(recent_requests), list(added))

    def newest(
        self, *, limit: int, before: int | None = None, owner: str | None = None
    ) -> list[RecentRequest]:
        query = select(recent_requests).order_by(recent_requests.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(recent_requests.c.id < before)
        if owner is not None:
            query = query.where(recent_requests.c.owner == owner)
        with self._database.read() as connection:
            return [RecentRequest(**row._mapping) for row in connection.execute(query)]

    def last_used(self, owners: Iterable[str]) -> dict[str, float]:
        """Time of the newest request of each owner, where one is known."""
        query = (
            select(recent_requests.c.owner, func.max(recent_requests.c.at))
            .where(recent_requests.c.owner.in_(list(owners)))
            .group_by(recent_requests.c.owner)
        )
        with self._database.read() as connection:
            return {owner: at for owner, at in connection.execute(query)}

    def purge(self, keep: int) -> int:
        """Keep only so many."""
        with self._database.read() as connection:
            newest = connection.scalar(select(func.max(recent_requests.c.id))) or 0
        return rows.remove(self._database, recent_requests, recent_requests.c.id <= newest - keep)
