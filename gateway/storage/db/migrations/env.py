"""Run by alembic, from its command line or from `migrations.upgrade`."""

from __future__ import annotations

from alembic import context
from sqlalchemy import Connection

from gateway.storage.db.schema import metadata


def _run(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()


if "connection" in context.config.attributes:
    _run(context.config.attributes["connection"])
else:
    from gateway.config.settings import Settings
    from gateway.storage.db.engine import Database

    with Database(Settings.from_env().database_url).migrating() as own:
        _run(own)
