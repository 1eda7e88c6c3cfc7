from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.pools import World
from tests.storage.postgres import PostgresServer


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """One database that the pools of a test share."""
    made = World(tmp_path)
    yield made
    made.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def any_world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """As `world`, on each kind of database."""
    url = ""
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres")
        url = server.url(server.create())
    made = World(tmp_path, url)
    yield made
    made.close()
