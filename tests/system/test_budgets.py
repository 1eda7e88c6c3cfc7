"""Budgets over two processes, under random histories and kills, against the vendor's ledger."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

IMAGE, VIDEO, LIMIT = 1.0, 2.0, 25.0
KEY = "spender-key-0123456789"
OPERATIONS = {"ark.images": IMAGE, "ark.videos.create": VIDEO}


def settings(credential):
    """An image costs 1 and a film 2, and the team may spend 25."""
    return f"""
[prices."doubao-seedream-*"]
currency = "USD"
image = {IMAGE}
[prices."doubao-seedance-*"]
currency = "USD"
video_second = {VIDEO / 5}
[teams.crew]
budget = {{ month = {LIMIT} }}
[[keys]]
name = "spender"
key = "{KEY}"
team = "crew"
budget = {{ day = {LIMIT} }}
[[accounts]]
name = "one"
upstream = "ark"
credential = "{credential}"
"""


def ask(gateway, kind):
    """The status of a request, 0 where its worker was killed."""
    path = "/v1/images/generations" if kind == "image" else "/v1/video/generations"
    try:
        return gateway.post(path, {"prompt": "a"}, key=KEY, timeout=90).status_code
    except requests.RequestException:
        return 0


def jobs(gateway):
    return gateway.get("/v1/jobs?limit=100", key=KEY).json()["data"]


def settled(gateway):
    """Jobs and budgets once every job has ended and is settled."""
    until = time.monotonic() + 120
    while True:
        found = jobs(gateway)
        budgets = gateway.get("/v1/me", key=KEY).json()["budgets"]
        unknown = [j for j in found if (j["error"] or {}).get("code") == "outcome_unknown"]
        kept = sum(IMAGE if j["kind"] == "image" else VIDEO for j in unknown)
        ended = all(j["status"] in ("completed", "failed", "cancelled") for j in found)
        if ended and all(b["reserved"] == pytest.approx(kept) for b in budgets):
            return found, budgets, kept
        assert time.monotonic() < until, (budgets, kept, [j["status"] for j in found])
        time.sleep(0.5)


@pytest.mark.timeout(900)
def test_what_is_spent_and_reserved_is_what_the_vendor_billed(gateway_factory, simulators, soak):
    for seed in range(20 if soak else 1):
        history(gateway_factory, simulators, seed)


def history(gateway_factory, simulators, seed):
    """Forty orders at once while workers are killed, and the books after it."""
    chance = random.Random(seed)
    credential = f"ark-slow-spending-{seed}"  # a third of a second each
    with gateway_factory.started(
        workers=2, accounts=False, toml=settings(credential), GATEWAY_POOL_ACCESS="keys"
    ) as gateway:
        kinds = [chance.choice(("image", "video")) for _ in range(40)]
        with ThreadPoolExecutor(8) as crowd:
            asked = [crowd.submit(ask, gateway, kind) for kind in kinds]
            for _ in range(3):
                time.sleep(chance.uniform(0.3, 1.5))
                workers = gateway.workers()
                if workers:
                    chance.choice(workers).kill()
            statuses = [one.result() for one in asked]
        assert 429 in statuses
        _, budgets, unknown = settled(gateway)
        operations = simulators.operations(credential)
        billed = sum(price * operations.get(name, 0) for name, price in OPERATIONS.items())
        for budget in budgets:
            accounted = budget["spent"] + budget["reserved"]
            # Of an order whose submitter was killed nobody knows if the vendor has it.
            assert accounted - unknown <= billed <= accounted
            assert accounted <= LIMIT
