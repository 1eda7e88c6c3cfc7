"""One process of a storm: `python -m tests.system.pool_storm URL CALLS SEED`.

Lends and gives back accounts of which many answer 429, and prints what it did, a line
each, with times of the clock that all processes of a machine share.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from threading import Thread

from gateway.domain.errors import AccountExhausted, AccountRejected, NoAccountAvailable
from gateway.runtime import logs
from gateway.services.pool.limits import AccountLimits
from gateway.services.pool.pool import Pool
from gateway.services.pool.registry import AccountRegistry
from gateway.storage.db.engine import Database
from gateway.storage.db.processes import HEARTBEAT_S, Processes
from gateway.storage.rate_counters import RateCounters
from gateway.storage.records.account_states import AccountStateStore
from gateway.storage.records.accounts import AccountStore
from gateway.storage.records.slots import SlotStore
from tests.services.pools import account, request

THREADS = 4
CAPS = {"capped-1": 1, "capped-2": 2, "free-1": None, "free-2": None, "free-3": None}
DEAD = "dead"


def main(url: str, calls: int, seed: int) -> None:
    logs.configure("ERROR")
    database = Database(url)
    accounts = [account(DEAD), *(account(name, max_in_flight=cap) for name, cap in CAPS.items())]
    processes = Processes(database)
    pool = Pool(
        AccountRegistry(accounts, AccountStore(database)),
        AccountStateStore(database),
        SlotStore(database),
        processes,
        AccountLimits(RateCounters("memory://", {})),
        wait_s=5,
    )
    pool.refresh()
    Thread(target=_repeat, args=(pool.refresh, 1.0), daemon=True).start()
    Thread(target=_repeat, args=(processes.heartbeat, HEARTBEAT_S), daemon=True).start()
    threads = [
        Thread(target=_work, args=(pool, calls // THREADS, random.Random(f"{seed}-{n}")))
        for n in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _repeat(work: Callable[[], object], every_s: float) -> None:
    while True:
        time.sleep(every_s)
        work()


def _work(pool: Pool, calls: int, chance: random.Random) -> None:
    for _ in range(calls):
        asked_at = time.monotonic()
        try:
            lease = pool.lease(request(pool))
        except NoAccountAvailable:
            _say("none", "-", asked_at, time.monotonic())
            continue
        name = lease.account.name
        lent_at = time.monotonic()
        _say("lent", name, asked_at, lent_at)
        time.sleep(chance.uniform(0, 0.002))
        err = _outcome(name, chance)
        given_at = time.monotonic()
        cools = err is not None and err.retry_after
        if cools:
            _say("cool", name, given_at, given_at + cools)
        lease.__exit__(type(err) if err else None, err, None)
        _say("used", name, lent_at, given_at)
        if cools:
            _say("told", name, given_at, time.monotonic())


def _outcome(name: str, chance: random.Random) -> AccountExhausted | AccountRejected | None:
    if name == DEAD:
        return AccountRejected("401")
    if chance.random() < 0.2:
        return AccountExhausted("429", retry_after=chance.uniform(0.02, 0.3))
    return None


def _say(what: str, name: str, since: float, until: float) -> None:
    sys.stdout.write(f"{what} {name} {since:.6f} {until:.6f}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
