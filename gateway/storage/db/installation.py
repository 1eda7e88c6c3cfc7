"""Name of the installation: all processes that share a database."""

from __future__ import annotations

import secrets

from sqlalchemy import select

from gateway.storage.db.engine import Database
from gateway.storage.db.schema import changes

_TOPIC = "installation"


def installation_id(database: Database) -> str:
    """A random word by which this installation's sessions are told from others'.

    Made when it is first asked for, and the same ever after.
    """
    made = database.insert(changes).values(topic=_TOPIC, version=secrets.randbits(48))
    query = select(changes.c.version).where(changes.c.topic == _TOPIC)
    with database.begin(durable=True) as connection:
        connection.execute(made.on_conflict_do_nothing())
        number = connection.execute(query).scalar_one()
    return f"{number:012x}"
