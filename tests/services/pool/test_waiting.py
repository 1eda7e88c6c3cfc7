"""Places in flight, and the line before them. Real time, in threads."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from threading import Lock, Thread

import pytest

from gateway.domain.errors import AccountExhausted, NoAccountAvailable, UpstreamError
from gateway.runtime.interruption import ClientGone, answering
from tests.services.pools import account, call, end, lend


def real(world, *accounts, **options):
    return world.pool(*accounts, clock=time.monotonic, **options)


def started(work, *args, **kwargs):
    thread = Thread(target=work, args=args, kwargs=kwargs, daemon=True)
    thread.start()
    return thread


def until(condition):
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


class Meter:
    """How many hold an account at once, and what the most was."""

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


def test_places_in_flight_are_exact_over_processes_and_machines(any_world):
    capped = account("one", max_in_flight=3)
    pools = [real(any_world, capped, machine=name, wait_s=20) for name in "abcd"]
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


def test_a_full_account_is_passed_over(world):
    pool = real(world, account("small", max_in_flight=1), account("big"))
    held = [lend(pool) for _ in range(6)]
    assert Counter(lease.account.name for lease in held) == {"small": 1, "big": 5}


def test_an_account_that_other_processes_fill_is_passed_over(world):
    accounts = account("small", max_in_flight=1), account("big")
    here, there = real(world, *accounts), real(world, *accounts)
    held = lend(here, skip={"big"})
    assert {call(there) for _ in range(6)} == {"big"}
    end(held)
    time.sleep(0.1)
    assert {call(there) for _ in range(6)} == {"small", "big"}


def test_places_are_held_for_as_long_as_they_are_used(world):
    pool = real(world, account("one", max_in_flight=1))
    lease = lend(pool)
    pool.renew()
    with pytest.raises(NoAccountAvailable):
        lend(real(world, account("one", max_in_flight=1)), give_up_at=0.0)
    end(lease)
    assert call(real(world, account("one", max_in_flight=1))) == "one"


def test_a_request_waits_for_a_place_and_gets_it(world):
    pool = real(world, account("one", max_in_flight=1), wait_s=10)
    first = lend(pool)
    got = []
    waiting = started(lambda: got.append(lend(pool)))
    until(lambda: pool.waiting == 1)
    end(first)
    waiting.join(10)
    assert [lease.account.name for lease in got] == ["one"]
    assert pool.waiting == 0


def test_a_request_waits_for_the_end_of_a_short_rest(world):
    pool = real(world, account("one"), wait_s=10)
    began = time.monotonic()
    call(pool, AccountExhausted("429", retry_after=0.2))
    assert call(pool) == "one"
    assert time.monotonic() - began >= 0.15


def test_nobody_waits_for_what_cannot_come_in_time(world):
    pool = real(world, account("one"), wait_s=60)
    call(pool, AccountExhausted("429", retry_after=300))
    began = time.monotonic()
    with pytest.raises(NoAccountAvailable) as caught:
        lend(pool)
    assert time.monotonic() - began < 20
    assert caught.value.retry_after == pytest.approx(300, abs=20)


def test_a_wait_ends_at_its_deadline(world):
    pool = real(world, account("one", max_in_flight=1), wait_s=0.2)
    held = lend(pool)
    with pytest.raises(NoAccountAvailable) as caught:
        lend(pool)
    assert caught.value.retry_after == 1
    assert pool.waiting == 0
    end(held)


def test_a_wait_ends_at_its_deadline_also_where_every_account_turns_out_to_be_taken(world):
    accounts = [account(f"n{n}", max_in_flight=1) for n in range(20)]
    there = real(world, *accounts)
    held = [lend(there) for _ in accounts]
    # Each is asked again before the last has been: as where the database is slower than that.
    pool = real(world, *accounts, wait_s=0.3, uniform=lambda low, high: 0.0)
    refused = []

    def wait():
        with pytest.raises(NoAccountAvailable) as caught:
            lend(pool)
        refused.append(caught.value.retry_after)

    started(wait).join(10)
    assert refused == [pytest.approx(1, abs=1)]
    assert pool.waiting == 0
    for lease in held:
        end(lease)


def test_a_wait_ends_early_when_its_account_begins_a_long_rest(world):
    pool = real(world, account("one", max_in_flight=1), wait_s=60)
    held = lend(pool)
    caught = []

    def wait():
        with pytest.raises(NoAccountAvailable) as info:
            lend(pool)
        caught.append(info.value.retry_after)

    waiting = started(wait)
    until(lambda: pool.waiting == 1)
    end(held, AccountExhausted("429", retry_after=600))
    waiting.join(10)
    assert caught == [pytest.approx(600, abs=2)]


def test_what_another_process_gives_back_is_noticed(world):
    here, there = (real(world, account("one", max_in_flight=1), wait_s=10) for _ in range(2))
    held = lend(here)
    waiting = started(call, there)
    until(lambda: there.waiting == 1)
    end(held)
    waiting.join(10)
    assert not waiting.is_alive()


def test_an_account_added_meanwhile_serves_those_who_wait(world):
    pool = real(world, account("one", max_in_flight=1), wait_s=10)
    held = lend(pool)
    got = []
    waiting = started(lambda: got.append(call(pool)))
    until(lambda: pool.waiting == 1)
    world.accounts.add(account("new"))
    world.bell().ring("accounts")
    waiting.join(10)
    assert got == ["new"]
    end(held)


def line_up(pool, callers):
    """Have callers wait in this order; returns the list that their turns are written to."""
    turns = []

    def wait(caller):
        lease = lend(pool, caller=caller)
        turns.append(caller)
        end(lease)

    threads = []
    for number, caller in enumerate(callers, 1):
        threads.append(started(wait, caller))
        until(lambda n=number: pool.waiting == n)
    return turns, threads


def test_callers_take_turns_however_many_requests_each_has(world):
    pool = real(world, account("one", max_in_flight=1), wait_s=20)
    held = lend(pool)
    turns, threads = line_up(pool, ["greedy"] * 6 + ["modest", "other", "modest"])
    end(held)
    for thread in threads:
        thread.join(10)
    assert turns[:5] == ["greedy", "modest", "other", "greedy", "modest"]
    assert turns[5:] == ["greedy"] * 4


def test_newcomers_do_not_overtake_those_who_wait(world):
    pool = real(world, account("one", max_in_flight=1), wait_s=20)
    held = lend(pool)
    turns, threads = line_up(pool, ["early"])
    end(held)
    assert call(pool, caller="late") == "one"
    assert turns == ["early"]
    threads[0].join(10)


def test_a_full_line_sends_away_the_last_of_whoever_has_most(world):
    pool = real(world, account("one", max_in_flight=1), wait_s=20, most_waiting=4)
    held = lend(pool)
    refused = []

    def wait(caller):
        try:
            call(pool, caller=caller)
        except NoAccountAvailable:
            refused.append(caller)

    threads = []
    for n in range(4):
        threads.append(started(wait, "greedy"))
        until(lambda n=n: pool.waiting == n + 1)
    threads.append(started(wait, "modest"))
    until(lambda: refused == ["greedy"])
    with pytest.raises(NoAccountAvailable):
        lend(pool, caller="greedy")
    assert pool.waiting == 4
    end(held)
    for thread in threads:
        thread.join(10)
    assert refused == ["greedy"]


def test_a_hundred_requests_at_an_exhausted_pool_are_all_answered_in_time(world):
    pool = real(world, account("one", max_in_flight=1), wait_s=0.5)
    held = lend(pool)

    def ask(n):
        began = time.monotonic()
        with pytest.raises(NoAccountAvailable):
            lend(pool, caller=f"caller {n % 7}")
        return time.monotonic() - began

    with ThreadPoolExecutor(100) as threads:
        assert max(threads.map(ask, range(100))) < 20
    end(held)
    assert pool.waiting == 0


def test_nothing_is_lost_in_a_crowd_of_failures_and_waits(world):
    accounts = [account(name, max_in_flight=2) for name in "abc"]
    pools = [real(world, *accounts, wait_s=1.0) for _ in range(2)]
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
        assert all(found.in_flight == 0 for found in pool.snapshot())


class Leaving:
    """A caller that leaves during whatever may not be interrupted, and is noticed after it."""

    shields = 0

    def end_of_shield(self):
        raise ClientGone("left")


@pytest.mark.parametrize("err", [None, AccountExhausted("429", retry_after=0.001)])
def test_a_caller_that_leaves_while_his_call_is_settled_leaves_nothing_behind(world, err):
    pool = real(world, account("one", max_in_flight=1))
    end(lend(pool), UpstreamError("500"))  # so that there is something to clear
    lease = lend(pool)
    token = answering.set(Leaving())
    try:
        with pytest.raises(ClientGone):
            end(lease, err)
        with pytest.raises(ClientGone):
            lend(pool)
    finally:
        answering.reset(token)
    assert call(pool) == "one"
    assert pool.snapshot()[0].in_flight == 0


def test_a_failed_call_gives_its_place_back(world):
    pool = real(world, account("one", max_in_flight=1), account("two", max_in_flight=1))
    for _ in range(3):
        end(lend(pool, skip={"two"}), UpstreamError("500"))
    assert call(pool, skip={"two"}) == "one"
