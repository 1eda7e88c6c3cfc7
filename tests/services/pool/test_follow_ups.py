"""Questions about work that an account has in hand."""

from __future__ import annotations

from contextlib import suppress

import pytest

from gateway.domain.errors import (
    AccountRejected,
    AccountSpent,
    InvalidRequest,
    NoAccountAvailable,
    UpstreamError,
)
from tests.services.pools import account, call, end, exhausted, lend, rest_s, view

HOUR = 3600.0


def follow_up(pool, of, err=None):
    with suppress(type(err) if err else ()), pool.follow_up(of):
        if err is not None:
            raise err


@pytest.mark.parametrize(
    ("err", "reason", "back_s"),
    [
        (AccountRejected("401"), "account", 300),
        (exhausted(30), "minute_quota", 30),
        (AccountSpent("daily", retry_after=HOUR), "day_quota", HOUR),
        (UpstreamError("500"), "", 0),
        (InvalidRequest("400"), "", 0),
    ],
)
def test_a_refused_question_counts_against_the_account_as_any_call(world, err, reason, back_s):
    one = account("one")
    pool = world.pool(one, account("two"))
    for _ in range(6):
        follow_up(pool, one, err)
        if back_s:
            break
    found = view(pool, "one")
    assert (found.reason, found.in_flight, found.circuit) == (reason, 0, "closed")
    assert found.back_in_s == pytest.approx(back_s)


@pytest.mark.parametrize(
    ("err", "asked"),
    [(AccountRejected("401"), False), (exhausted(30), False), (AccountSpent("daily"), True)],
)
def test_an_account_at_rest_is_asked_nothing_unless_only_its_day_is_used_up(world, err, asked):
    one = account("one")
    pool = world.pool(one)
    call(pool, err)
    if asked:
        follow_up(pool, one)
    else:
        with pytest.raises(NoAccountAvailable) as caught:
            follow_up(pool, one)
        assert caught.value.retry_after == pytest.approx(view(pool, "one").back_in_s)
    assert view(pool, "one").back_in_s > 0, "an answer says nothing of its quota"


@pytest.mark.parametrize("err", [exhausted(5), AccountRejected("401")])
def test_a_refused_question_shortens_no_rest_for_the_day(any_world, err):
    one = account("one")
    pools = here, there = any_world.pool(one), any_world.pool(one)
    call(here, AccountSpent("daily", retry_after=12 * HOUR))
    follow_up(here, one, err)
    there.refresh()
    any_world.clock.pass_s(400)
    for pool in pools:
        assert rest_s(pool) == pytest.approx(12 * HOUR - 400, abs=1)
        assert view(pool, "one").reason == "day_quota"
    follow_up(here, one)
    assert not view(here, "one").quarantined
    follow_up(there, one)
    assert rest_s(here) == pytest.approx(12 * HOUR - 400, abs=1)


def test_a_refused_credential_is_left_alone_for_its_own_time_while_its_day_is_used_up(any_world):
    one = account("one")
    pools = any_world.pool(one), any_world.pool(one)
    call(pools[0], AccountSpent("daily", retry_after=12 * HOUR))
    for pause_s in (300, 600):
        follow_up(pools[0], one, AccountRejected("401"))
        pools[1].refresh()
        any_world.clock.pass_s(pause_s - 1)
        for pool in pools:
            with pytest.raises(NoAccountAvailable) as caught:
                follow_up(pool, one)
            assert caught.value.retry_after == pytest.approx(1, abs=0.5)
        any_world.clock.pass_s(1)


def test_what_is_learnt_late_of_a_used_up_day_is_known_to_all(any_world):
    pools = here, _ = any_world.pool(account("one")), any_world.pool(account("one"))
    late, early = lend(here), lend(here)
    any_world.clock.pass_s(1)
    end(early, exhausted(5))
    end(late, AccountSpent("daily", retry_after=12 * HOUR))
    for pool in pools:
        assert rest_s(pool) == pytest.approx(12 * HOUR, abs=1)
        assert view(pool, "one").reason == "day_quota"


def test_a_question_may_be_the_one_that_tries_a_refused_credential_out(world):
    one = account("one")
    pool = world.pool(one)
    call(pool, AccountRejected("401"))
    world.clock.pass_s(300)
    with pool.follow_up(one):
        assert rest_s(pool) <= 1
        with pytest.raises(NoAccountAvailable):
            follow_up(pool, one)
    assert not view(pool, "one").quarantined
    assert call(pool) == "one"


def test_questions_under_the_callers_own_credential_touch_no_account(world):
    pool = world.pool(account("own"))
    follow_up(pool, account("own", own=True), AccountRejected("401"))
    assert view(pool, "own").back_in_s == 0
