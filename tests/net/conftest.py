from __future__ import annotations

import pytest

from gateway.net.http import Http, Timeouts
from tests.net.certificates import Authority

SHORT = Timeouts(connect_s=2, first_byte_s=5, idle_s=5, total_s=10)


@pytest.fixture
def http():
    client = Http(timeouts=SHORT)
    yield client
    client.close()


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("certificates"))
