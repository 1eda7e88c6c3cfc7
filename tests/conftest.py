"""Fixtures shared by the suite: real processes on real sockets, nothing of ours is mocked."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.storage.postgres import PostgresServer
from tests.support.clock import Clock
from tests.support.gateway import Gateway, GatewayFactory
from tests.support.media import MediaServer
from tests.support.s3 import S3Server
from tests.support.simulators import Simulators


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--agents", action="store_true", help="coding agents, which are installed")
    parser.addoption("--soak", action="store_true", help="fault and load runs at full size")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out the agents, which are installed, unless they are asked for."""
    return (collection_path.name == "agents" and not config.getoption("--agents")) or None


@pytest.fixture(scope="session")
def soak(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("--soak"))


@pytest.fixture(scope="session")
def simulators():
    """All vendors on one socket, shared by the tests of a worker: use credentials of your own."""
    with Simulators.started() as running:
        yield running


@pytest.fixture(scope="session")
def media_server():
    """A web server with pictures and videos to link to."""
    with MediaServer.started() as running:
        yield running


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server: use a database of your own."""
    with PostgresServer.started() as running:
        yield running


@pytest.fixture(scope="session")
def s3():
    """An S3-compatible service: use a bucket of your own."""
    with S3Server.started() as running:
        yield running


@pytest.fixture(scope="session")
def gateway_factory(tmp_path_factory, simulators):
    """Starts gateways with settings of their own; each is stopped when its block ends."""
    return GatewayFactory(tmp_path_factory, simulators)


@pytest.fixture(scope="session")
def gateway(gateway_factory) -> Gateway:
    """One gateway with an account of each vendor, two workers and open pool access."""
    with gateway_factory.started() as running:
        yield running


@pytest.fixture
def clock() -> Clock:
    return Clock()
