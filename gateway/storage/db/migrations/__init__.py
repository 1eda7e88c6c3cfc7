"""The schema's history. `tables.py` is where it arrives; a test compares the two."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

_INI = Path(__file__).parent.with_name("alembic.ini")


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Run the migrations that are missing, in the transaction that `connection` is in."""
    command.upgrade(_config(connection), revision)


def downgrade(connection: Connection, revision: str) -> None:
    command.downgrade(_config(connection), revision)


def _config(connection: Connection) -> Config:
    config = Config(_INI)
    config.attributes["connection"] = connection
    return config
