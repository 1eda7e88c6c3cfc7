"""Version number per topic, raised with every change, so that caches notice by one small read."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, select

from gateway.storage.db.engine import Database
from gateway.storage.db.schema import changes

_VERSION = select(changes.c.version).where(changes.c.topic == bindparam("of_topic"))


def raise_version(database: Database, connection: Connection, topic: str) -> int:
    """Raise the topic's version in the transaction of the change itself.

    Changes of one topic are thereby committed in the order of their versions.
    """
    statement = database.insert(changes).values(topic=topic, version=1)
    statement = statement.on_conflict_do_update(
        index_elements=[changes.c.topic], set_={"version": changes.c.version + 1}
    )
    version: int = connection.execute(statement.returning(changes.c.version)).scalar_one()
    return version


def read_version(database: Database, topic: str) -> int:
    with database.read() as connection:
        return connection.scalar(_VERSION, {"of_topic": topic}) or 0
