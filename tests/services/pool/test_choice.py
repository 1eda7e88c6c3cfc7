"""Which account is lent next."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from gateway.domain.errors import InvalidRequest, NoAccountAvailable
from tests.services.pools import account, call, end, lend, names, weighted


def test_accounts_take_turns(world):
    pool = world.pool(*weighted([1, 1, 1]))
    assert sorted(names(pool, 3)) == ["a", "b", "c"]
    assert names(pool, 3) == names(pool, 3)


def test_turns_follow_the_weights_and_are_spread_evenly(world):
    pool = world.pool(*weighted([4, 2, 1]))
    turns = names(pool, 70)
    assert Counter(turns) == {"a": 40, "b": 20, "c": 10}
    for start in range(0, 63, 7):
        assert Counter(turns[start : start + 7]) == {"a": 4, "b": 2, "c": 1}
    assert "aaa" not in "".join(turns)


def test_accounts_of_a_weight_share_its_turns(world):
    pool = world.pool(*weighted([2, 2, 1, 1]))
    assert Counter(names(pool, 60)) == {"a": 20, "b": 20, "c": 10, "d": 10}


def test_the_least_busy_of_a_weight_comes_first(world):
    pool = world.pool(*weighted([1, 1, 1]))
    held = [lend(pool) for _ in range(5)]
    busy = Counter(lease.account.name for lease in held)
    assert sorted(busy.values()) == [1, 2, 2]
    (idlest,) = (name for name, count in busy.items() if count == 1)
    assert lend(pool).account.name == idlest
    freed = held[0].account.name
    end(held[0])
    assert lend(pool).account.name == freed


def test_processes_begin_at_different_accounts(world):
    everyone = weighted([1] * 8)
    firsts = {
        call(world.pool(*everyone, uniform=random.Random(seed).uniform)) for seed in range(30)
    }
    assert len(firsts) > 3


def test_an_account_serves_only_the_models_it_is_restricted_to(world):
    pool = world.pool(
        account("any"), account("one", models=frozenset({"m1"})), account("other", upstream="else")
    )
    assert set(names(pool, 6, models=("m1", "vendor-m1"))) == {"any", "one"}
    assert set(names(pool, 6, models=("public", "m1"))) == {"any", "one"}
    assert set(names(pool, 6, models=("m2",))) == {"any"}
    assert pool.serves("vendor", "m2")
    assert not world.pool(account("one", models=frozenset({"m1"}))).serves("vendor", "m2", "m3")


def test_no_account_for_a_model_is_refused_at_once(world):
    pool = world.pool(account("one", models=frozenset({"m1"})))
    with pytest.raises(NoAccountAvailable):
        lend(pool, models=("m2",))


def test_accounts_that_failed_a_request_are_skipped(world):
    pool = world.pool(*weighted([3, 1, 1]))
    assert set(names(pool, 6, skip={"a", "c"})) == {"b"}
    with pytest.raises(NoAccountAvailable):
        lend(pool, skip={"a", "b", "c"})


def test_a_limit_on_one_kind_of_work_leaves_the_others_alone(world):
    pool = world.pool(account("small", limits={"image": "2/hour"}), account("big"))
    assert Counter(names(pool, 10, kind="image")) == {"small": 2, "big": 8}
    assert Counter(names(pool, 10, kind="chat")) == {"small": 5, "big": 5}
    assert Counter(names(pool, 10, kind="video")) == {"small": 5, "big": 5}


def test_a_limit_that_is_reached_says_when_there_is_room_again(world):
    pool = world.pool(account("one", limits={"chat": "2/hour", "video": "1/day"}))
    names(pool, 2)
    with pytest.raises(NoAccountAvailable) as caught:
        lend(pool)
    assert 3500 < caught.value.retry_after <= 3600
    assert "limit set for it" in caught.value.message
    world.clock.pass_s(caught.value.retry_after + 1)
    with pytest.raises(NoAccountAvailable):  # by the wall's clock the hour is not over
        lend(pool)
    assert call(pool, kind="image") == "one"


def test_a_limit_counts_all_that_a_request_makes_and_leaves_the_rest_to_smaller_ones(world):
    pool = world.pool(account("one", limits={"image": "5/day"}))
    assert call(pool, kind="image", amount=4) == "one"
    for amount in (4, 2):
        with pytest.raises(NoAccountAvailable) as caught:
            lend(pool, kind="image", amount=amount)
        assert caught.value.retry_after == pytest.approx(86400, abs=60)
        assert "limit set for it" in caught.value.message
    assert call(pool, kind="image") == "one"
    with pytest.raises(NoAccountAvailable):
        lend(pool, kind="image")


def test_a_request_for_many_goes_where_there_is_room_for_all(world):
    pool = world.pool(
        account("few", limits={"image": "3/day"}),
        account("many", limits={"image": "9/day"}),
        account("failed"),
    )
    wish = {"kind": "image", "amount": 4, "skip": {"failed"}}
    assert names(pool, 2, **wish) == ["many", "many"]
    with pytest.raises(NoAccountAvailable):
        lend(pool, **wish)
    assert Counter(names(pool, 4, kind="image", skip={"failed"})) == {"few": 3, "many": 1}


def test_more_at_once_than_any_limit_allows_is_the_callers_mistake(world):
    pool = world.pool(
        account("one", limits={"image": "5/day"}), account("two", limits={"image": "3/minute"})
    )
    for _ in range(2):
        with pytest.raises(InvalidRequest, match="6 at once") as caught:
            lend(pool, kind="image", amount=6)
        assert caught.value.param == "n"
    with pytest.raises(NoAccountAvailable):
        lend(pool, kind="image", amount=5, skip={"one"})
    assert call(pool, kind="image", amount=5) == "one"
    with pytest.raises(NoAccountAvailable):
        lend(pool, kind="image", amount=5)
    with pytest.raises(InvalidRequest):
        lend(pool, kind="image", amount=6)


def test_a_call_that_is_refused_for_another_reason_costs_nothing_of_the_limit(world):
    pool = world.pool(account("one", max_in_flight=1, limits={"chat": "3/hour"}))
    first = lend(pool)
    for _ in range(5):
        with pytest.raises(NoAccountAvailable):
            lend(pool, give_up_at=0.0)
    end(first)
    assert names(pool, 2) == ["one", "one"]
    with pytest.raises(NoAccountAvailable):
        lend(pool)


def test_looking_at_who_is_next_takes_nothing(world):
    pool = world.pool(account("one", max_in_flight=1))
    for _ in range(3):
        assert pool.peek("vendor", models=("model",), kind="chat").name == "one"
    lease = lend(pool)
    with pytest.raises(NoAccountAvailable):
        pool.peek("vendor", models=("model",), kind="chat")
    end(lease)


def test_who_is_next_is_who_the_next_call_gets(world):
    pool = world.pool(*weighted([3, 2, 1]))
    for _ in range(12):
        seen = {pool.peek("vendor", models=("model",), kind="chat").name for _ in range(3)}
        assert seen == {call(pool)}


def test_many_accounts_cost_no_more_than_a_few(world):
    """The number of steps is what is held constant; the benchmark has the times."""
    pool = world.pool(*[account(f"n{n}", weight=1 + n % 3) for n in range(10_000)])
    counts = Counter(names(pool, 3000))
    assert max(counts.values()) == 1
