from __future__ import annotations

import pytest

from tests.server.serving import serving


@pytest.fixture(scope="session")
def _shared(tmp_path_factory):
    with serving(tmp_path_factory.mktemp("worker"), "--keep-alive", "2") as server:
        yield server


@pytest.fixture
def server(_shared):
    """One worker with short times, for tests that leave it as they found it."""
    _shared.forget()
    return _shared


@pytest.fixture
def serve(tmp_path):
    """Start a server of one's own."""

    def start(*options, **settings):
        return serving(tmp_path, *options, **settings)

    return start
