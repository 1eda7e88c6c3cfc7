"""Accounts that no vendor has accepted yet are lent to one call at a time, but not for long."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from gateway.domain.errors import (
    AccountExhausted,
    AccountRejected,
    GatewayError,
    InvalidRequest,
    NoAccountAvailable,
    StorageUnavailable,
    UpstreamError,
)
from gateway.services.pool import pool as pool_module
from gateway.services.pool import selection as pool_choice
from gateway.services.pool import sync as pool_sharing
from gateway.storage.records.account_states import AccountStateStore
from tests.services.pools import account, call, end, lend, names, view


def new(world, *accounts, **options):
    return world.pool(*accounts, proven=False, **options)


def free(pool, **options):
    """Whether an account can be had without waiting; it is kept."""
    try:
        lend(pool, give_up_at=0.0, **options)
    except NoAccountAvailable:
        return False
    return True


def test_a_dead_account_is_called_once_however_many_come_at_once(any_world):
    machines = ("here", "here", "here", "there", "elsewhere")
    pools = [new(any_world, account("dead"), machine=m, clock=time.monotonic) for m in machines]
    called = []

    def work(pool):
        lease = lend(pool)
        called.append(lease.account.name)
        time.sleep(0.05)
        end(lease, AccountRejected("401"))

    with ThreadPoolExecutor(20) as threads:
        calls = [threads.submit(work, pool) for pool in pools * 4]
    refusals = [done.exception() for done in calls if done.exception()]
    assert called == ["dead"]
    assert len(refusals) == len(calls) - 1
    assert {type(err) for err in refusals} == {AccountRejected}
    assert all(295 < err.retry_after <= 301 for err in refusals)


def test_the_first_answer_lets_all_who_wait_go_on(any_world, monkeypatch):
    for module in (pool_module, pool_choice, pool_sharing):
        monkeypatch.setattr(module, "PROOF_S", 60.0)  # nobody waits for the bound
    options = {"clock": time.monotonic, "wait_s": 50}
    pools = [new(any_world, account("one"), **options) for _ in range(3)]
    first = lend(pools[0])
    assert not free(pools[0])
    assert not free(pools[1])
    with ThreadPoolExecutor(9) as threads:
        waiting = [threads.submit(lend, pool) for pool in pools * 3]
        while sum(pool.waiting for pool in pools) < len(waiting):
            assert not any(lease.done() for lease in waiting)
        first.answered()
        held = [lease.result() for lease in waiting]
    assert not any(lease.trial for lease in held)


def test_a_slow_vendor_holds_the_others_up_for_a_second(any_world):
    here, there = (new(any_world, account("one")) for _ in range(2))
    assert lend(here).trial
    assert not free(here)
    assert not free(there)
    any_world.clock.pass_s(1)
    assert all(free(pool) for pool in (here, there, here, there))


def test_a_proof_outlives_the_process_but_not_the_credential(any_world):
    assert call(new(any_world, account("one"))) == "one"
    pool = new(any_world, account("one"))
    assert free(pool)
    assert free(pool)
    assert view(pool, "one").proven
    changed = new(any_world, account("one", secret="another"))
    assert lend(changed).trial
    assert not free(changed)


def test_nobody_waits_for_a_proof_while_another_account_is_usable(world):
    call(new(world, account("old")))
    pool = new(world, account("old"), account("new"))
    held = [lend(pool, give_up_at=0.0).account.name for _ in range(6)]
    assert sorted(held) == ["new", "old", "old", "old", "old", "old"]


@pytest.mark.parametrize(
    "err", [InvalidRequest("400"), UpstreamError("500"), GatewayError("ours"), GeneratorExit()]
)
def test_a_call_that_shows_nothing_is_followed_by_another_alone(any_world, err):
    here, there = (new(any_world, account("one")) for _ in range(2))
    end(lend(here), err)
    assert not view(here, "one").proven
    assert lend(there).trial
    assert not free(here)
    assert not free(there)


def test_a_database_that_hangs_holds_up_one_of_those_who_want_an_untried_account(
    world, monkeypatch
):
    pool = new(world, account("one"))
    assert lend(pool).trial
    world.clock.pass_s(1)
    asked, answer = [], Event()

    def hang(*_):
        asked.append(1)
        answer.wait(10)
        raise StorageUnavailable("away")

    monkeypatch.setattr(AccountStateStore, "changes", hang)
    with ThreadPoolExecutor(6) as threads:
        calls = [threads.submit(free, pool) for _ in range(6)]
        while not asked:
            assert not any(done.done() for done in calls)
        answer.set()
        assert all(done.result(10) for done in calls)
    assert free(pool)
    assert len(asked) == 1
    pool.refresh()
    assert len(asked) == 2, "the chore goes on asking"


def test_a_full_quota_shows_that_the_credential_is_good(world):
    pool = new(world, account("one"))
    call(pool, AccountExhausted("429", retry_after=5))
    world.clock.pass_s(5)
    assert free(pool)
    assert free(pool)


def test_an_untried_account_counts_as_usable_while_it_is_tried(world):
    pool = new(world, account("one"))
    lend(pool)
    assert pool.usable()


def test_other_machines_hear_of_a_refusal_before_they_try(any_world):
    here = new(any_world, account("one"))
    there = new(any_world, account("one"), machine="there")
    call(here, AccountRejected("401"))
    with pytest.raises(AccountRejected):
        lend(there)
    any_world.clock.pass_s(301)
    there.refresh()
    call(here, AccountRejected("401 again"))
    with pytest.raises(AccountRejected):
        lend(there)


def test_a_proven_account_is_asked_nothing(world):
    pool = new(world, account("one"))
    names(pool, 1)
    before = world.states.changes(0)
    assert names(pool, 20) == ["one"] * 20
    assert world.states.changes(0) == before
