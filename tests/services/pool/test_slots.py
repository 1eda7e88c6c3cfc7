"""Concurrency slots: exact over processes and machines, in real time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Lock

import pytest

from gateway.domain.errors import (
    AccountExhausted,
    NoAccountAvailable,
    StorageUnavailable,
    UpstreamError,
)
from gateway.storage.records.slots import SlotStore
from tests.services.pool.test_queue import real
from tests.services.pool.test_sync import unreachable
from tests.services.pools import account, call, end, lend, view
from tests.support.process import ROOT, clean_env


class Meter:
    """Counts how many hold an account at once, and the most that ever did."""

    def __init__(self):
        self._lock = Lock()
        self.now = self.most = self.total = 0

    def __enter__(self):
        with self._lock:
            self.now += 1
            self.total += 1
            self.most = max(self.most, self.now)

    def __exit__(self, *_):
        with self._lock:
            self.now -= 1


def test_slots_are_exact_over_processes(any_world):
    pools = [real(any_world, account("one", max_in_flight=3), wait_s=60) for _ in range(4)]
    meter = Meter()

    def work(pool):
        for _ in range(8):
            lease = lend(pool)
            with meter:
                time.sleep(0.003)
            end(lease)

    with ThreadPoolExecutor(12) as threads:
        list(threads.map(work, pools * 3))
    assert (meter.total, meter.most) == (96, 3)
    assert SlotStore(any_world.database).in_flight(["one"]) == {"one": 0}


def test_a_full_account_is_passed_over(world):
    pool = real(world, account("small", max_in_flight=1), account("big"))
    held = [lend(pool) for _ in range(8)]
    assert Counter(lease.account.name for lease in held) == {"small": 1, "big": 7}


def test_an_account_that_other_processes_fill_is_passed_over(world):
    accounts = account("small", max_in_flight=1), account("big")
    here, there = real(world, *accounts), real(world, *accounts)
    held = lend(here, skip={"big"})
    assert {call(there) for _ in range(6)} == {"big"}
    end(held)
    assert call(there, skip={"big"}) == "small"


def test_a_slot_that_another_process_gives_back_goes_to_those_who_wait(world):
    here, there = (real(world, account("one", max_in_flight=1), wait_s=60) for _ in range(2))
    held = lend(here)
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(call, there)
        time.sleep(0.2)
        end(held)
        assert waiting.result(20) == "one"


def test_a_failed_call_gives_its_slot_back(world):
    pool = real(world, account("one", max_in_flight=1), account("two", max_in_flight=1))
    for _ in range(3):
        end(lend(pool, skip={"two"}), UpstreamError("500"))
    assert call(pool, skip={"two"}) == "one"


def test_accounts_with_slots_are_not_lent_without_the_database(world):
    pool = world.pool(account("one", max_in_flight=1), database=unreachable(world))
    with pytest.raises(StorageUnavailable):
        lend(pool)
    mixed = world.pool(account("one", max_in_flight=1), account("two"), database=unreachable(world))
    assert {call(mixed) for _ in range(3)} == {"two"}


def test_a_wait_ends_at_its_deadline_also_where_every_account_turns_out_to_be_full(world):
    accounts = [account(f"n{n}", max_in_flight=1) for n in range(20)]
    there = real(world, *accounts)
    held = [lend(there) for _ in accounts]
    pool = real(world, *accounts, wait_s=0.3, uniform=lambda low, high: 0.0)
    with pytest.raises(NoAccountAvailable):
        lend(pool)
    assert pool.waiting == 0
    for lease in held:
        end(lease)


HOLDER = """
import sys, time
from pathlib import Path
from tests.services.pools import World, account, lend
world = World(Path(sys.argv[1]), sys.argv[2])
pool = world.pool(account("one", max_in_flight=2), host=sys.argv[3] or None, clock=time.monotonic)
leases = [lend(pool), lend(pool)]
print("lent", flush=True)
time.sleep(600)
"""


@pytest.fixture
def killed(any_world):
    """Fills the account in a process of this host, or of another one, and kills it."""

    def fill_and_die(host=""):
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(any_world.folder), any_world.database_url, host],
            cwd=ROOT,
            env=clean_env({}),
            stdout=subprocess.PIPE,
        )
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"lent\n"
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
        holder.stdout.close()

    return fill_and_die


def test_slots_of_a_killed_process_of_the_same_machine_are_free_at_once(any_world, killed):
    killed()
    assert call(any_world.pool(account("one", max_in_flight=2))) == "one"


def test_slots_of_a_killed_process_of_another_machine_are_free_after_15_s(any_world, killed):
    killed(host="elsewhere")
    pool = any_world.pool(account("one", max_in_flight=2))
    with pytest.raises(NoAccountAvailable):
        lend(pool, give_up_at=0.0)
    any_world.clock.pass_s(7)
    with pytest.raises(NoAccountAvailable) as caught:
        lend(pool, give_up_at=0.0)
    assert caught.value.retry_after == pytest.approx(8, abs=0.1)
    any_world.clock.pass_s(8.1)
    assert call(pool, give_up_at=0.0) == "one"


def test_nothing_is_lost_in_a_crowd_of_failures_and_waits(world):
    accounts = [account(name, max_in_flight=2) for name in "abc"]
    pools = [real(world, *accounts, wait_s=2.0) for _ in range(2)]
    meter = {name: Meter() for name in "abc"}

    def work(n):
        pool = pools[n % 2]
        for turn in range(6):
            try:
                lease = lend(pool, caller=f"caller {n % 3}")
            except NoAccountAvailable:
                continue
            with meter[lease.account.name]:
                time.sleep(0.001)
            failing = (n + turn) % 5 == 0
            end(lease, AccountExhausted("429", retry_after=0.02) if failing else None)

    with ThreadPoolExecutor(24) as threads:
        list(threads.map(work, range(24)))
    assert all(found.most <= 2 for found in meter.values())
    assert sum(found.total for found in meter.values()) > 60
    for pool in pools:
        assert pool.waiting == 0
        assert all(view(pool, name).in_flight == 0 for name in "abc")
