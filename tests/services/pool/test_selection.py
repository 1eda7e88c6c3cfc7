"""Choice of the account that is lent: weights, load, models."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from gateway.domain.errors import NoAccountAvailable
from tests.services.pools import account, call, end, exhausted, lend, names, request, weighted


def test_calls_are_spread_by_the_weights(world):
    pool = world.pool(*weighted([4, 2, 1, 1]))
    counts = Counter(names(pool, 2000))
    for name, share in {"a": 0.5, "b": 0.25, "c": 0.125, "d": 0.125}.items():
        assert counts[name] / 2000 == pytest.approx(share, abs=0.06)


def test_load_is_spread_by_the_weights(world):
    pool = world.pool(*weighted([4, 2, 1, 1]))
    leases = [lend(pool) for _ in range(80)]
    busy = Counter(lease.account.name for lease in leases)
    for name, share in {"a": 40, "b": 20, "c": 10, "d": 10}.items():
        assert busy[name] == pytest.approx(share, abs=4)


def test_of_two_accounts_the_less_loaded_is_lent(world):
    pool = world.pool(*weighted([1, 1]))
    held = [lend(pool) for _ in range(5)]
    busy = Counter(lease.account.name for lease in held)
    assert sorted(busy.values()) == [2, 3]
    (idlest,) = (name for name, count in busy.items() if count == 2)
    assert lend(pool).account.name == idlest


@pytest.mark.parametrize("count", [3, 400])
def test_accounts_that_cool_down_are_left_out_however_many_there_are(world, count):
    pool = world.pool(*[account(f"n{n}") for n in range(count)])
    left = {f"n{n}" for n in range(count)}
    for _ in range(count - 2):
        lease = lend(pool)
        left.remove(lease.account.name)
        end(lease, exhausted(60))
    assert set(names(pool, 40)) == left


def test_an_account_serves_only_the_models_it_is_restricted_to(world):
    pool = world.pool(
        account("any"), account("one", models=frozenset({"m1"})), account("other", upstream="else")
    )
    assert set(names(pool, 20, models=("m1", "vendor-m1"))) == {"any", "one"}
    assert set(names(pool, 20, models=("public", "m1"))) == {"any", "one"}
    assert set(names(pool, 20, models=("m2",))) == {"any"}
    assert pool.serves("vendor", "m2")
    assert not world.pool(account("one", models=frozenset({"m1"}))).serves("vendor", "m2", "m3")


def test_a_model_without_an_account_is_refused_at_once(world):
    pool = world.pool(account("one", models=frozenset({"m1"})))
    with pytest.raises(NoAccountAvailable):
        lend(pool, models=("m2",))


@pytest.mark.parametrize("count", [3, 100])
def test_accounts_that_failed_a_request_are_skipped(world, count):
    everyone = [account(f"n{n}", weight=1 + n % 3) for n in range(count)]
    others = {found.name for found in everyone} - {"n1"}
    pool = world.pool(*everyone)
    assert set(names(pool, 6, skip=others)) == {"n1"}
    with pytest.raises(NoAccountAvailable):
        lend(pool, skip=others | {"n1"})


def test_a_look_at_the_next_account_takes_nothing(world):
    pool = world.pool(account("one", max_in_flight=1))
    for _ in range(3):
        assert pool.peek(request(pool)).name == "one"
    lease = lend(pool)
    with pytest.raises(NoAccountAvailable):
        pool.peek(request(pool))
    end(lease)


def test_processes_begin_at_different_accounts(world):
    everyone = weighted([1] * 8)
    firsts = {call(world.pool(*everyone, random=Random(seed).random)) for seed in range(30)}
    assert len(firsts) > 3
