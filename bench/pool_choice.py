"""What it costs to choose an account, by how many there are.

    python -m bench.pool_choice [--picks 20000]

Prints JSON: microseconds of the median and of the slowest hundredth of picks (lend one,
give one back), with 50 others in flight; of refusals when all cool down; and of a start.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from gateway.domain.accounts import Account, Secret
from gateway.domain.errors import AccountExhausted, NoAccountAvailable
from gateway.runtime import logs
from gateway.services.pool.limits import AccountLimits
from gateway.services.pool.pool import Lease, Pool
from gateway.services.pool.pooled_account import LeaseRequest
from gateway.services.pool.registry import AccountRegistry
from gateway.storage.db.engine import Database
from gateway.storage.db.processes import Processes
from gateway.storage.rate_counters import RateCounters
from gateway.storage.records.account_states import AccountStateStore
from gateway.storage.records.accounts import AccountStore
from gateway.storage.records.slots import SlotStore

IN_FLIGHT = 50
MODELS = ("public", "vendor-model")


def accounts(count: int, *, weights: int, restricted: bool = False) -> list[Account]:
    return [
        Account(
            f"account-{number}",
            "vendor",
            Secret(f"secret-{number}"),
            weight=1 + number % weights,
            models=frozenset({f"model-{number % 20}", "public"}) if restricted else frozenset(),
        )
        for number in range(count)
    ]


def lend(pool: Pool) -> Lease:
    request = LeaseRequest("vendor", MODELS, "chat", "bench", give_up_at=0.0)
    return pool.lease(request).__enter__()


def give_back(lease: Lease) -> None:
    lease.__exit__(None, None, None)


def pick_us(pool: Pool, picks: int) -> list[float]:
    held = deque(lend(pool) for _ in range(IN_FLIGHT))
    times = []
    for _ in range(picks):
        began = time.perf_counter()
        held.append(lend(pool))
        give_back(held.popleft())
        times.append((time.perf_counter() - began) * 1e6)
    for lease in held:
        give_back(lease)
    return times


def storm_us(pool: Pool, picks: int) -> list[float]:
    """One call in ten fails with a rate limit of a few milliseconds."""
    times = []
    for _ in range(picks):
        began = time.perf_counter()
        with suppress(NoAccountAvailable):
            lease = lend(pool)
            times.append((time.perf_counter() - began) * 1e6)
            failed = random.random() < 0.1
            err = AccountExhausted("429", retry_after=0.005) if failed else None
            lease.__exit__(type(err) if err else None, err, None)
    return times


def refusal_us(pool: Pool, everyone: Sequence[Account]) -> list[float]:
    time.sleep(0.01)  # until all cooldowns of the storm are over
    for _ in everyone:
        err = AccountExhausted("429", retry_after=600)
        lend(pool).__exit__(type(err), err, None)
    times = []
    for _ in range(500):
        began = time.perf_counter()
        with suppress(NoAccountAvailable):
            lend(pool)
        times.append((time.perf_counter() - began) * 1e6)
    return times


def figures(times: Sequence[float]) -> dict[str, float]:
    ordered = sorted(times)
    return {
        "p50_us": round(statistics.median(ordered), 1),
        "p99_us": round(ordered[int(len(ordered) * 0.99)], 1),
    }


def measure(folder: Path, count: int, picks: int, **options: int | bool) -> dict[str, object]:
    where = Path(tempfile.mkdtemp(dir=folder))
    database = Database(f"sqlite:///{where}/gateway.db")
    database.migrate()
    everyone = accounts(count, **options)
    began = time.perf_counter()
    pool = Pool(
        AccountRegistry(everyone, AccountStore(database)),
        AccountStateStore(database),
        SlotStore(database),
        Processes(database),
        AccountLimits(RateCounters("memory://", {})),
    )
    pool.refresh()
    start_s = time.perf_counter() - began
    found: dict[str, object] = {"start_ms": round(start_s * 1000, 1)}
    found["pick"] = figures(pick_us(pool, picks))
    found["storm"] = figures(storm_us(pool, picks // 10))
    if count <= 1000:
        found["refusal"] = figures(refusal_us(pool, everyone))
    database.close()
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--picks", type=int, default=20_000)
    picks = parser.parse_args().picks
    logs.configure("ERROR")
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder)
        print(
            json.dumps(
                {
                    "10 accounts": measure(where, 10, picks, weights=1),
                    "1,000 accounts": measure(where, 1_000, picks, weights=1),
                    "10,000 accounts": measure(where, 10_000, picks, weights=1),
                    "10,000 accounts, 10 weights": measure(where, 10_000, picks, weights=10),
                    "10,000 accounts, 10 weights, 20 sets of models": measure(
                        where, 10_000, picks, weights=10, restricted=True
                    ),
                },
                indent=1,
            )
        )


if __name__ == "__main__":
    main()
