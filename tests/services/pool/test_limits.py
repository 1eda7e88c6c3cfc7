"""Limits of an account by kind of work."""

from __future__ import annotations

from collections import Counter

import pytest

from gateway.domain.errors import InvalidRequest, NoAccountAvailable
from tests.services.pools import account, call, end, lend, names


def test_a_limit_on_one_kind_of_work_leaves_the_others_alone(world):
    pool = world.pool(account("small", limits={"image": "2/hour"}), account("big"))
    assert Counter(names(pool, 20, kind="image")) == {"small": 2, "big": 18}
    for kind in ("chat", "video"):
        assert set(names(pool, 20, kind=kind)) == {"small", "big"}


def test_a_limit_that_is_reached_says_when_there_is_room_again(world):
    pool = world.pool(account("one", limits={"chat": "2/hour", "video": "1/day"}))
    names(pool, 2)
    with pytest.raises(NoAccountAvailable) as caught:
        lend(pool)
    assert 0 < caught.value.retry_after <= 2 * 3600
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
        assert 0 < caught.value.retry_after <= 2 * 86400
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
    wanted = {"kind": "image", "amount": 4, "skip": {"failed"}}
    assert names(pool, 2, **wanted) == ["many", "many"]
    with pytest.raises(NoAccountAvailable):
        lend(pool, **wanted)
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
