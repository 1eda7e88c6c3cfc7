"""The simulated Ark, by way of the vendor's SDK and of raw requests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from volcenginesdkarkruntime import Ark


@pytest.fixture
def client(sim_url: str, key: str) -> Iterator[Callable[..., Ark]]:
    """Makes SDK clients; a word given spoils their credential."""
    made: list[Ark] = []

    def make(word: str = "") -> Ark:
        base_url, api_key = f"{sim_url}/ark/api/v3", f"{key}-{word}"
        made.append(Ark(base_url=base_url, api_key=api_key, max_retries=0, timeout=20))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def ark(client: Callable[..., Ark]) -> Ark:
    return client()


@pytest.fixture
def post(sim_url: str, key: str) -> Callable[..., requests.Response]:
    """Posts raw bodies, as no SDK would send them."""

    def send(path: str, body: Any, word: str = "") -> requests.Response:
        headers = {"Authorization": f"Bearer {key}-{word}"}
        return requests.post(f"{sim_url}/ark/api/v3{path}", json=body, headers=headers, timeout=20)

    return send
