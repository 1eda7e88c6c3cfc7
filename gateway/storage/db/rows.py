"""What several stores do alike: pages of an owner's rows, removal in pieces, versions."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, Table, bindparam, delete, select, tuple_

from gateway.storage.db.engine import Database
from gateway.storage.db.schema import changes

_PIECE = 500
_VERSION = select(changes.c.version).where(changes.c.topic == bindparam("of_topic"))


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
    """Delete what matches, in pieces that hold no lock for long."""
    key = tuple_(*table.primary_key.columns)
    piece = select(*table.primary_key.columns).where(condition).limit(_PIECE)
    removed = 0
    while True:
        with database.write() as connection:
            count = connection.execute(delete(table).where(key.in_(piece))).rowcount
        removed += count
        if count < _PIECE:
            return removed


def bump(database: Database, connection: Connection, topic: str) -> int:
    """Raise the topic's version in the transaction of the change itself.

    Changes of one topic are thereby committed in the order of their versions.
    """
    statement = database.insert(changes).values(topic=topic, version=1)
    statement = statement.on_conflict_do_update(
        index_elements=[changes.c.topic], set_={"version": changes.c.version + 1}
    )
    version: int = connection.execute(statement.returning(changes.c.version)).scalar_one()
    return version


def version(database: Database, topic: str) -> int:
    with database.read() as connection:
        return connection.scalar(_VERSION, {"of_topic": topic}) or 0
