"""Statements that several stores share: pages of an owner's rows, removal in batches."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Select, Table, delete, select, tuple_

from gateway.storage.db.engine import Database

_BATCH = 500


def page(
    query: Select[Any], table: Table, *, owner: str, after: str | None, limit: int, order: str
) -> Select[Any]:
    """The owner's rows by age, from the one that follows `after`; none when that is unknown."""
    age = (table.c.created_at, table.c.id)
    query = query.where(table.c.owner == owner).limit(limit)
    if after is not None:
        mark = select(*age).where(table.c.id == after, table.c.owner == owner).scalar_subquery()
        here = tuple_(*age)
        query = query.where(here > mark if order == "asc" else here < mark)
    return query.order_by(*(c.asc() if order == "asc" else c.desc() for c in age))


def remove(database: Database, table: Table, condition: ColumnElement[bool]) -> int:
    """Delete what matches, in batches that hold no lock for long."""
    key = tuple_(*table.primary_key.columns)
    batch = select(*table.primary_key.columns).where(condition).limit(_BATCH)
    removed = 0
    while True:
        with database.write() as connection:
            count = connection.execute(delete(table).where(key.in_(batch))).rowcount
        removed += count
        if count < _BATCH:
            return removed
