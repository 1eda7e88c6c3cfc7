"""Ways to ask the simulated vendors what they saw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from tests.support.simulators import Simulators


@pytest.fixture(scope="session")
def sim_url(simulators: Simulators) -> str:
    """The base URL of all simulated vendors."""
    return simulators.url


@pytest.fixture
def key() -> str:
    """A credential that no other test uses, so that its counts are this test's alone."""
    return f"key-{uuid4().hex}"


@pytest.fixture
def ledger(simulators: Simulators) -> Callable[[], dict[str, Any]]:
    """Fetches what the simulators have seen so far."""
    return simulators.ledger
