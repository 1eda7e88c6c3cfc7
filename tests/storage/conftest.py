"""Every store is held to its contract on both databases, each test in a database of its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.storage.db.engine import Database
from gateway.storage.db.schema import metadata
from tests.storage.postgres import PostgresServer


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "gateway.db"
    _migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres_shared(postgres: PostgresServer) -> str:
    name = postgres.create()
    _migrate(postgres.url(name))
    return name


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database of the test's own, without a schema."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/state/gateway.db"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.url(server.create())


@pytest.fixture
def own_url(empty_url: str) -> str:
    """A database of the test's own, for tests that leave it changed or in use."""
    _migrate(empty_url)
    return empty_url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database with nothing in it."""
    if request.param == "sqlite":
        template = request.getfixturevalue("sqlite_template")
        return f"sqlite:///{shutil.copy(template, tmp_path / 'gateway.db')}"
    server: PostgresServer = request.getfixturevalue("postgres")
    name = request.getfixturevalue("postgres_shared")
    tables = reversed(metadata.sorted_tables)
    server.execute(";".join(f"DELETE FROM {table.name}" for table in tables), database=name)
    return server.url(name)


@pytest.fixture
def database(url: str) -> Iterator[Database]:
    opened = Database(url)
    yield opened
    opened.close()


def _migrate(url: str) -> None:
    database = Database(url)
    database.migrate()
    database.close()
