"""Cooldown, ejection and recovery of accounts."""

from __future__ import annotations

import pytest

from gateway.domain.errors import (
    AccountQuotaExhausted,
    AccountRejected,
    ContentFiltered,
    GatewayError,
    InvalidRequest,
    JobFailed,
    UpstreamError,
    UpstreamOverloaded,
)
from gateway.runtime.interruption import ClientGone
from tests.services.pools import (
    account,
    call,
    end,
    exhausted,
    lend,
    names,
    retry_after_s,
    view,
    weighted,
)

HOUR = 3600.0


def test_an_account_cools_down_as_long_as_the_vendor_asks(world):
    pool = world.pool(account("one"))
    call(pool, exhausted(30))
    assert retry_after_s(pool) == pytest.approx(30)
    world.clock.pass_s(29.9)
    assert retry_after_s(pool) == pytest.approx(0.1)
    world.clock.pass_s(0.1)
    assert call(pool) == "one"


@pytest.mark.parametrize(("asked", "cooldown_s"), [(1e9, HOUR), (0, 0.5), (-5, 0.5), (None, 0.5)])
def test_a_retry_after_is_bounded_and_a_senseless_one_ignored(world, asked, cooldown_s):
    pool = world.pool(account("one"))
    call(pool, exhausted(asked))
    assert retry_after_s(pool) == pytest.approx(cooldown_s)


def test_without_a_retry_after_the_cooldown_doubles_up_to_a_minute_at_random(world):
    drawn_from = []

    def uniform(low, high):
        drawn_from.append((low, high))
        return high

    pool = world.pool(account("one"), uniform=uniform)
    call(pool)
    cooldowns = []
    for _ in range(8):
        call(pool, exhausted())
        cooldowns.append(retry_after_s(pool))
        world.clock.pass_s(cooldowns[-1])
    assert cooldowns == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60])
    assert {low for low, _ in drawn_from} == {0.0}
    assert [high for _, high in drawn_from] == pytest.approx(cooldowns)


def test_an_answer_ends_the_doubling(world):
    pool = world.pool(account("one"))
    for _ in range(5):
        call(pool, exhausted())
        world.clock.pass_s(60)
    call(pool)
    call(pool, exhausted())
    assert retry_after_s(pool) == pytest.approx(0.5)


def test_calls_that_were_under_way_together_are_one_failure(world):
    pool = world.pool(account("one"))
    together = [lend(pool) for _ in range(20)]
    world.clock.pass_s(0.1)
    for lease in together:
        end(lease, exhausted())
    assert retry_after_s(pool) == pytest.approx(0.5)
    world.clock.pass_s(0.5)
    call(pool, exhausted())
    assert retry_after_s(pool) == pytest.approx(1.0)


def test_a_later_failure_may_prolong_a_cooldown_but_never_shorten_it(world):
    pool = world.pool(account("one"))
    long, short = lend(pool), lend(pool)
    call(pool, exhausted(10))
    world.clock.pass_s(1)
    end(long, exhausted(60))
    end(short, exhausted(1))
    assert retry_after_s(pool) == pytest.approx(60)


def test_an_answer_to_an_older_call_does_not_end_a_cooldown(world):
    pool = world.pool(account("one"))
    older = lend(pool)
    world.clock.pass_s(1)
    call(pool, exhausted(30))
    end(older)
    assert retry_after_s(pool) == pytest.approx(30)


def test_an_exhausted_quota_cools_down_until_it_begins_anew(world):
    pool = world.pool(account("one"))
    call(pool, AccountQuotaExhausted("daily", retry_after=20 * HOUR))
    assert retry_after_s(pool) == pytest.approx(20 * HOUR)
    assert view(pool, "one").reason == "day_quota"


def test_a_late_answer_does_not_end_the_cooldown_of_an_account_that_recovered_meanwhile(world):
    pool = world.pool(account("one"))
    late, refused = lend(pool), lend(pool)
    world.clock.pass_s(1)
    call(pool, AccountQuotaExhausted("daily", retry_after=20 * HOUR))
    end(refused, AccountRejected("401"))
    world.clock.pass_s(301)
    with pool.query(pool.get("one")):
        pass
    assert view(pool, "one").state != "ejected"
    end(late)
    assert retry_after_s(pool) == pytest.approx(20 * HOUR - 301)


def test_an_exhausted_quota_cools_down_for_an_hour_where_its_end_is_unknown(world):
    pool = world.pool(account("one"))
    call(pool, AccountQuotaExhausted("out of credit"))
    assert retry_after_s(pool) == pytest.approx(HOUR)


def test_the_soonest_return_of_all_accounts_is_announced(world):
    pool = world.pool(
        account("slow"), account("quick"), account("limited", limits={"chat": "1/day"})
    )
    for _ in range(3):
        lease = lend(pool)
        rest = {"slow": 300, "quick": 40}.get(lease.account.name)
        end(lease, exhausted(rest) if rest else None)
    assert retry_after_s(pool) == pytest.approx(40)
    world.clock.pass_s(35)
    assert retry_after_s(pool) == pytest.approx(5)


def test_a_refused_credential_is_ejected_longer_each_time_and_probed_by_one_call(world):
    pool = world.pool(account("one"), account("two"))
    cooldowns = []
    for _ in range(6):
        lease = lend(pool, skip={"two"})
        end(lease, AccountRejected("401"))
        assert names(pool, 5) == ["two"] * 5
        cooldowns.append(view(pool, "one").returns_in_s)
        world.clock.pass_s(cooldowns[-1])
        probe = lend(pool, skip={"two"})
        assert names(pool, 5) == ["two"] * 5, "one call tries it out, no more"
        end(probe, InvalidRequest("proves nothing"))
    assert cooldowns == pytest.approx([300, 600, 1200, 2400, 3600, 3600])
    assert view(pool, "one").state == "ejected"
    end(lend(pool, skip={"two"}))
    assert view(pool, "one").state != "ejected"
    assert set(names(pool, 4)) == {"one", "two"}


def test_callers_learn_when_every_credential_is_refused(world):
    pool = world.pool(account("one"), account("two"))
    for _ in range(2):
        call(pool, AccountRejected("401"))
    with pytest.raises(AccountRejected) as caught:
        lend(pool)
    assert caught.value.status == 502
    assert caught.value.code == "upstream_auth_failed"
    assert caught.value.retry_after == pytest.approx(300)


def test_a_probe_whose_caller_leaves_is_followed_by_another(world):
    pool = world.pool(account("one"))
    call(pool, AccountRejected("401"))
    world.clock.pass_s(300)
    probe = lend(pool)
    assert retry_after_s(pool) <= 1
    end(probe, ClientGone("left"))
    assert call(pool) == "one"
    assert view(pool, "one").returns_in_s == 0


def test_a_probe_is_over_with_the_first_part_of_its_answer(world):
    pool = world.pool(account("one"))
    call(pool, AccountRejected("401"))
    world.clock.pass_s(300)
    probe = lend(pool)
    probe.succeeded()
    assert names(pool, 2) == ["one", "one"]
    end(probe)


def test_a_quota_failure_of_a_probe_proves_the_credential(world):
    pool = world.pool(account("one"))
    call(pool, AccountRejected("401"))
    world.clock.pass_s(300)
    call(pool, exhausted(10))
    assert view(pool, "one").state != "ejected"
    assert retry_after_s(pool) == pytest.approx(10)


@pytest.mark.parametrize(
    "err",
    [
        InvalidRequest("400"),
        ContentFiltered("blocked"),
        GatewayError("ours"),
        JobFailed("the vendor gave the task up"),
        ClientGone("left"),
        GeneratorExit(),
    ],
)
def test_what_is_not_the_accounts_fault_never_touches_it(world, err):
    pool = world.pool(account("one"), account("two"))
    before = world.states.changes(0)
    for _ in range(30):
        call(pool, err)
    assert world.states.changes(0) == before
    assert {found.returns_in_s for found in pool.snapshot()} == {0}


def fail(pool, name, others, err=None):
    end(lend(pool, skip=others), err or UpstreamError("500"))


def test_five_failures_of_the_vendor_in_a_row_open_the_circuit(world):
    pool = world.pool(account("one"), account("two"))
    for _ in range(4):
        fail(pool, "one", {"two"})
    end(lend(pool, skip={"two"}))
    for _ in range(4):
        fail(pool, "one", {"two"})
    assert view(pool, "one").state == "ready"
    fail(pool, "one", {"two"}, UpstreamOverloaded("503"))
    assert view(pool, "one").state == "ejected"
    assert set(names(pool, 6)) == {"two"}
    world.clock.pass_s(29)
    assert set(names(pool, 6)) == {"two"}


def test_an_open_circuit_is_probed_by_one_call_and_stays_open_twice_as_long(world):
    pool = world.pool(account("one"), account("two"))
    for _ in range(5):
        fail(pool, "one", {"two"})
    cooldowns = []
    for _ in range(6):
        cooldowns.append(view(pool, "one").returns_in_s)
        world.clock.pass_s(cooldowns[-1])
        probe = lend(pool, skip={"two"})
        assert set(names(pool, 6)) == {"two"}
        end(probe, UpstreamError("500"))
    assert cooldowns == pytest.approx([30, 60, 120, 240, 480, 600])
    world.clock.pass_s(600)
    end(lend(pool, skip={"two"}))
    assert view(pool, "one").state == "ready"


@pytest.mark.parametrize(("accounts", "ejected"), [(1, 0), (2, 1), (3, 1), (4, 2), (9, 4)])
def test_one_incident_never_ejects_more_than_half_of_the_accounts(world, accounts, ejected):
    pool = world.pool(*weighted([1] * accounts))
    for _ in range(20 * accounts):
        call(pool, UpstreamError("500"))
    states = [found.state for found in pool.snapshot()]
    assert states.count("ejected") == ejected
    assert len(set(names(pool, 20 * accounts))) == accounts - ejected


def test_a_healthy_call_writes_nothing(world):
    pool = world.pool(account("one"))
    before = world.states.changes(0)
    names(pool, 50)
    assert world.states.changes(0) == before


def test_an_operator_can_end_a_cooldown(world):
    pool = world.pool(account("one"))
    call(pool, AccountQuotaExhausted("daily"))
    assert pool.reset("one")
    assert call(pool) == "one"
    assert not pool.reset("unknown")


def test_everything_about_an_account_can_be_seen_but_its_secret(world):
    pool = world.pool(account("one", weight=3, max_in_flight=7, secret="canary-secret"))
    lease = lend(pool)
    found = view(pool, "one")
    assert (found.upstream, found.state, found.weight) == ("vendor", "ready", 3)
    assert (found.in_flight, found.max_in_flight) == (1, 7)
    end(lease, exhausted(12))
    found = view(pool, "one")
    assert (found.in_flight, found.state, found.reason) == (0, "cooling", "minute_quota")
    assert found.returns_in_s == pytest.approx(12)
    assert "canary" not in repr((pool.snapshot(), world.states.changes(0), lease))
