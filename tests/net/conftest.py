from __future__ import annotations

import pytest

from gateway.domain.timeouts import Timeouts
from gateway.net.http.client import Http
from tests.net.certificates import Authority

SHORT = Timeouts(connect_s=10, first_byte_s=20, idle_s=20, total_s=40)


@pytest.fixture
def http():
    client = Http(timeouts=SHORT)
    yield client
    client.close()


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("certificates"))
