"""Calls that wait for an account, in real time and in threads."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Thread

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
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_a_request_waits_for_an_account_and_gets_it(world):
    pool = real(world, account("one", max_in_flight=1), wait_s=10)
    first = lend(pool)
    got = []
    waiting = started(lambda: got.append(lend(pool)))
    until(lambda: pool.waiting == 1)
    end(first)
    waiting.join(10)
    assert [lease.account.name for lease in got] == ["one"]
    assert pool.waiting == 0


def test_a_request_waits_for_the_end_of_a_short_cooldown(world):
    pool = real(world, account("one"), wait_s=10)
    began = time.monotonic()
    call(pool, AccountExhausted("429", retry_after=0.2))
    assert call(pool) == "one"
    assert time.monotonic() - began >= 0.15


def test_nobody_waits_for_what_cannot_come_in_time(world):
    pool = real(world, account("one"), wait_s=600)
    call(pool, AccountExhausted("429", retry_after=3000))
    with pytest.raises(NoAccountAvailable) as caught:
        lend(pool)
    assert caught.value.retry_after == pytest.approx(3000, abs=60)
    assert pool.waiting == 0


def test_a_wait_ends_at_its_deadline(world):
    pool = real(world, account("one", max_in_flight=1), wait_s=0.2)
    held = lend(pool)
    with pytest.raises(NoAccountAvailable) as caught:
        lend(pool)
    assert caught.value.retry_after == 1
    assert pool.waiting == 0
    end(held)


def test_a_wait_ends_when_its_account_begins_a_long_cooldown(world):
    pool = real(world, account("one", max_in_flight=1), wait_s=600)
    held = lend(pool)
    caught = []

    def wait():
        with pytest.raises(NoAccountAvailable) as info:
            lend(pool)
        caught.append(info.value.retry_after)

    waiting = started(wait)
    until(lambda: pool.waiting == 1)
    end(held, AccountExhausted("429", retry_after=1800))
    pool.refresh()
    waiting.join(20)
    assert caught == [pytest.approx(1800, abs=30)]


def test_an_account_added_meanwhile_serves_those_who_wait(world):
    pool = real(world, account("one", max_in_flight=1), wait_s=60)
    held = lend(pool)
    got = []
    waiting = started(lambda: got.append(call(pool)))
    until(lambda: pool.waiting == 1)
    world.accounts.add(account("new"))
    time.sleep(0.6)
    pool.refresh()
    waiting.join(20)
    assert got == ["new"]
    end(held)


def queue_up(pool, callers):
    """Have callers wait in this order; returns the list in which they note their turns."""
    served = []

    def wait(caller):
        lease = lend(pool, caller=caller)
        served.append(caller)
        end(lease)

    threads = []
    for number, caller in enumerate(callers, 1):
        threads.append(started(wait, caller))
        until(lambda n=number: pool.waiting == n)
    return served, threads


def test_accounts_go_to_those_who_have_waited_longest(world):
    pool = real(world, account("one", max_in_flight=1), wait_s=60)
    held = lend(pool)
    served, threads = queue_up(pool, ["a", "b", "a", "c"])
    end(held)
    assert call(pool, caller="late") == "one"
    assert served == ["a", "b", "a", "c"]
    for thread in threads:
        thread.join(20)


def test_who_waits_for_another_model_is_not_in_the_way(world):
    pool = real(
        world,
        account("one", max_in_flight=1, models=frozenset({"m1"})),
        account("two", models=frozenset({"m2"})),
        wait_s=60,
    )
    held = lend(pool, models=("m1",))
    waiting = started(lambda: call(pool, models=("m1",)))
    until(lambda: pool.waiting == 1)
    assert call(pool, models=("m2",)) == "two"
    end(held)
    waiting.join(20)


def test_a_caller_has_only_so_many_calls_in_the_queue_and_all_together_too(world):
    pool = real(
        world,
        account("one", max_in_flight=1),
        wait_s=60,
        max_waiting=3,
        max_waiting_per_caller=2,
    )
    held = lend(pool)
    _, threads = queue_up(pool, ["greedy", "greedy"])
    with pytest.raises(NoAccountAvailable, match="Too many requests wait"):
        lend(pool, caller="greedy")
    served, more = queue_up_one_more(pool, "modest")
    with pytest.raises(NoAccountAvailable, match="Too many requests wait"):
        lend(pool, caller="other")
    end(held)
    for thread in (*threads, *more):
        thread.join(20)
    assert served == ["modest"]
    assert pool.waiting == 0


def queue_up_one_more(pool, caller):
    served = []

    def wait():
        end(lend(pool, caller=caller))
        served.append(caller)

    before = pool.waiting
    thread = started(wait)
    until(lambda: pool.waiting == before + 1)
    return served, [thread]


def test_a_hundred_requests_at_an_exhausted_pool_are_all_refused(world):
    pool = real(world, account("one", max_in_flight=1), wait_s=0.5)
    held = lend(pool)

    def ask(n):
        with pytest.raises(NoAccountAvailable):
            lend(pool, caller=f"caller {n % 7}")

    with ThreadPoolExecutor(100) as threads:
        list(threads.map(ask, range(100)))
    end(held)
    assert pool.waiting == 0


class Leaving:
    """A caller that leaves during whatever may not be interrupted, and is noticed after it."""

    shields = 0

    def end_of_shield(self):
        raise ClientGone("left")


@pytest.mark.parametrize("err", [None, AccountExhausted("429", retry_after=0.001)])
def test_a_caller_that_leaves_while_the_lease_is_released_leaves_nothing_behind(world, err):
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
