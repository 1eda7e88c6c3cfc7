from __future__ import annotations

from contextlib import closing

import pytest

from gateway.domain.accounts import Account, Secret
from gateway.net.fetch.fetcher import Fetcher
from gateway.net.http.client import Http
from gateway.storage.db.engine import Database
from gateway.upstreams.registry import VENDORS
from tests.support.simulators import ENGINE


@pytest.fixture
def enterprise(simulators):
    """The vendor with sessions, on a real socket."""
    spec = VENDORS["gemini-enterprise"]
    return spec.load()(
        spec,
        Http(),
        Fetcher(allow_private="127.0.0.1"),
        base_url=simulators.url + spec.simulator_path,
        engine=ENGINE,
    )


@pytest.fixture
def database(tmp_path):
    with closing(Database(f"sqlite:///{tmp_path}/gateway.db")) as opened:
        opened.migrate()
        yield opened


@pytest.fixture
def account(request) -> Account:
    """An account that no other test uses, since the simulator is shared."""
    return Account("a", "gemini-enterprise", Secret(f"ya29.{abs(hash(request.node.nodeid))}"))


@pytest.fixture
def client(enterprise, account):
    return enterprise._client(account)
