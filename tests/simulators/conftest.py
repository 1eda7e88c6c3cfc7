"""Ways to reach the simulated vendors with Google's clients, and to ask them all what they saw."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
import requests
from google import genai
from google.auth.transport.requests import AuthorizedSession
from google.genai import types
from google.oauth2 import service_account

from tests.support.simulators import ENGINE, Simulators

SCOPE = "https://www.googleapis.com/auth/cloud-platform"


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


@pytest.fixture
def gemini_client(sim_url: str, key: str) -> Iterator[Callable[..., genai.Client]]:
    """Makes SDK clients; a word given spoils their key."""
    made: list[genai.Client] = []

    def make(word: str = "", version: str | None = None) -> genai.Client:
        options = types.HttpOptions(
            base_url=f"{sim_url}/gemini", api_version=version, timeout=20_000
        )
        made.append(genai.Client(api_key=f"{key}-{word}", http_options=options))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def gemini(gemini_client: Callable[..., genai.Client]) -> genai.Client:
    return gemini_client()


@pytest.fixture
def gemini_post(sim_url: str, key: str) -> Callable[..., requests.Response]:
    """Posts raw bodies, as no SDK would send them."""

    def send(path: str, body: Any, word: str = "", **options: Any) -> requests.Response:
        options.setdefault("headers", {"x-goog-api-key": f"{key}-{word}"})
        return requests.post(f"{sim_url}/gemini{path}", json=body, timeout=20, **options)

    return send


class Offline(service_account.Credentials):
    """A service account that asks for tokens, and not where it may be used."""

    def _is_regional_access_boundary_lookup_required(self) -> bool:
        return False


@pytest.fixture
def enterprise_url(sim_url: str) -> str:
    return f"{sim_url}/gemini-enterprise"


@pytest.fixture
def email() -> str:
    return f"sa-{uuid4().hex}@sim.iam.gserviceaccount.com"


@pytest.fixture
def account(sim_url: str, email: str) -> Iterator[Callable[..., AuthorizedSession]]:
    """Makes sessions of service accounts; words spoil their name."""
    made: list[AuthorizedSession] = []

    def make(words: str = "", **options: Any) -> AuthorizedSession:
        query = {"email": f"{words}-{email}", **options}
        info = requests.get(f"{sim_url}/_control/service-account", params=query, timeout=10)
        credentials = Offline.from_service_account_info(info.json(), scopes=[SCOPE])
        made.append(AuthorizedSession(credentials))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def enterprise(account, enterprise_url) -> Callable[..., requests.Response]:
    """Calls v1alpha, unless the path says otherwise, with a service account."""
    session = account()

    def call(method: str, path: str, body: Any = None, **options: Any) -> requests.Response:
        path = path if path.startswith("/v1") else f"/v1alpha/{path}"
        return session.request(
            method, enterprise_url + path, json=body, timeout=20, allow_redirects=False, **options
        )

    return call


@pytest.fixture
def opened(enterprise) -> str:
    """The name of a session."""
    return enterprise("POST", f"{ENGINE}/sessions", {"displayName": "test"}).json()["name"]
