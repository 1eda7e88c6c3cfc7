"""Queries about existing jobs of an account."""

from __future__ import annotations

from contextlib import suppress

import pytest

from gateway.domain.errors import (
    AccountQuotaExhausted,
    AccountRejected,
    InvalidRequest,
    NoAccountAvailable,
    UpstreamError,
)
from tests.services.pools import account, call, exhausted, retry_after_s, view

HOUR = 3600.0


def query(pool, of, err=None):
    with suppress(type(err) if err else ()), pool.query(of):
        if err is not None:
            raise err


@pytest.mark.parametrize(
    ("err", "reason", "back_s"),
    [
        (AccountRejected("401"), "account", 300),
        (exhausted(30), "", 0),
        (AccountQuotaExhausted("daily", retry_after=HOUR), "", 0),
        (UpstreamError("500"), "", 0),
        (InvalidRequest("400"), "", 0),
    ],
)
def test_a_query_counts_against_an_account_when_its_credential_is_refused(
    world, err, reason, back_s
):
    one = account("one")
    pool = world.pool(one, account("two"))
    for _ in range(6):
        query(pool, one, err)
        if back_s:
            break
    found = view(pool, "one")
    assert (found.reason, found.in_flight) == (reason, 0)
    assert found.returns_in_s == pytest.approx(back_s)


@pytest.mark.parametrize(
    ("err", "asked"),
    [
        (AccountRejected("401"), False),
        (exhausted(30), True),
        (AccountQuotaExhausted("daily"), True),
    ],
)
def test_an_account_is_queried_unless_its_credential_is_refused(world, err, asked):
    one = account("one")
    pool = world.pool(one)
    call(pool, err)
    if asked:
        query(pool, one)
    else:
        with pytest.raises(NoAccountAvailable) as caught:
            query(pool, one)
        assert caught.value.retry_after == pytest.approx(view(pool, "one").returns_in_s)
    assert view(pool, "one").returns_in_s > 0, "an answer says nothing of its quota"


@pytest.mark.parametrize("err", [exhausted(5), AccountRejected("401")])
def test_a_refused_query_shortens_no_cooldown_of_a_day_quota(any_world, err):
    one = account("one")
    pools = here, there = any_world.pool(one), any_world.pool(one)
    call(here, AccountQuotaExhausted("daily", retry_after=12 * HOUR))
    any_world.clock.pass_s(1)
    query(here, one, err)
    here.refresh()
    there.refresh()
    any_world.clock.pass_s(399)
    for pool in pools:
        assert retry_after_s(pool) == pytest.approx(12 * HOUR - 400, abs=2)
        assert view(pool, "one").reason == "day_quota"
    query(here, one)
    assert view(here, "one").state == "cooling"
    query(there, one)
    assert retry_after_s(here) == pytest.approx(12 * HOUR - 400, abs=2)


def test_a_refused_credential_is_not_queried_while_its_day_quota_is_exhausted(world):
    one = account("one")
    pool = world.pool(one)
    call(pool, AccountQuotaExhausted("daily", retry_after=12 * HOUR))
    for pause_s in (300, 600):
        query(pool, one, AccountRejected("401"))
        world.clock.pass_s(pause_s - 1)
        with pytest.raises(NoAccountAvailable) as caught:
            query(pool, one)
        assert caught.value.retry_after == pytest.approx(1, abs=0.5)
        world.clock.pass_s(1)


def test_a_query_may_be_the_probe_of_a_refused_credential(world):
    one = account("one")
    pool = world.pool(one)
    call(pool, AccountRejected("401"))
    world.clock.pass_s(300)
    with pool.query(one):
        assert retry_after_s(pool) <= 1
        with pytest.raises(NoAccountAvailable):
            query(pool, one)
    assert view(pool, "one").state == "ready"
    assert call(pool) == "one"


def test_queries_with_the_callers_own_credential_touch_no_account(world):
    pool = world.pool(account("own"))
    query(pool, account("own", own=True), AccountRejected("401"))
    assert view(pool, "own").returns_in_s == 0
