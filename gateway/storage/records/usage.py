"""Usage in buckets of an hour."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Literal

from sqlalchemy import BigInteger, ColumnElement, cast, func, select

from gateway.storage.db import rows
from gateway.storage.db.engine import Database
from gateway.storage.db.schema import usage

_DAY_S = 86_400
Group = Literal["hour", "day", "key", "model", "upstream", "account"]


@dataclass(frozen=True, slots=True)
class UsageRow:
    """`hour` is when it began, in unix seconds; `estimated` counts requests whose tokens are."""

    hour: int = 0
    key: str = ""
    model: str = ""
    upstream: str = ""
    account: str = ""
    requests: int = 0
    errors: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    images: int = 0
    videos: int = 0
    estimated: int = 0
    cost: int = 0  # nanos


_NAMES = [field.name for field in fields(UsageRow)]
_KEY, _COUNTERS = _NAMES[:5], _NAMES[5:]


class UsageStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    def add_many(self, added: Iterable[UsageRow]) -> None:
        """Add the counters to what the buckets have; rows may name the same bucket."""
        statement = self._database.insert(usage)
        statement = statement.on_conflict_do_update(
            index_elements=_KEY,
            set_={name: usage.c[name] + statement.excluded[name] for name in _COUNTERS},
        )
        # Everybody locks the buckets in the same order.
        values = sorted(
            ({name: getattr(row, name) for name in _NAMES} for row in added),
            key=lambda value: [value[name] for name in _KEY],
        )
        if values:
            with self._database.begin() as connection:
                connection.execute(statement, values)

    def report(
        self,
        *,
        since: float,
        until: float,
        group_by: Sequence[Group] = (),
        key: str | None = None,
    ) -> list[UsageRow]:
        """Sums over the hours that begin in [since, until), of one key or all.

        Fields that are not grouped by stay empty.

        By "day", `hour` is when the day began (UTC).
        """
        groups: dict[str, ColumnElement[int] | ColumnElement[str]] = {}
        for name in group_by:
            if name == "day":
                groups["hour"] = usage.c.hour - usage.c.hour % _DAY_S
            else:
                groups[name] = usage.c[name]
        # PostgreSQL sums to decimals.
        sums = [cast(func.sum(usage.c[name]), BigInteger).label(name) for name in _COUNTERS]
        query = (
            select(*(group.label(name) for name, group in groups.items()), *sums)
            .where(usage.c.hour >= since, usage.c.hour < until)
            .group_by(*groups.values())
            .having(func.count() > 0)
            .order_by(*groups.values())
        )
        if key is not None:
            query = query.where(usage.c.key == key)
        with self._database.read() as connection:
            return [UsageRow(**row._mapping) for row in connection.execute(query)]

    def purge(self, older_than: float) -> int:
        """Delete the hours that began before that time; returns how many rows."""
        return rows.remove(self._database, usage, usage.c.hour < older_than)
