"""Vendors of a module's own, for tests that count what is left at them."""

from __future__ import annotations

import pytest

from tests.support.gateway import GatewayFactory
from tests.support.simulators import Simulators


@pytest.fixture(scope="module")
def vendors():
    with Simulators.started() as running:
        yield running


@pytest.fixture(scope="module")
def own_factory(tmp_path_factory, vendors):
    return GatewayFactory(tmp_path_factory, vendors)
