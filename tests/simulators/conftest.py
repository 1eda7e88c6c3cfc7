"""One simulator process per test worker, and the ways to ask it what it saw."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
import requests


@pytest.fixture(scope="session")
def sim_url() -> Iterator[str]:
    """The base URL of all simulated vendors."""
    command = [sys.executable, "-m", "gateway.simulators", "--port", "0", "--until-eof"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        line = process.stdout.readline().decode()
        yield line.removeprefix("simulators on ").strip()
        process.communicate(timeout=10)


@pytest.fixture
def key() -> str:
    """A credential that no other test uses, so that its counts are this test's alone."""
    return f"key-{uuid4().hex}"


@pytest.fixture
def ledger(sim_url: str) -> Callable[[], dict[str, Any]]:
    """Fetches what the simulators have seen so far."""
    return lambda: requests.get(f"{sim_url}/_ledger", timeout=10).json()
