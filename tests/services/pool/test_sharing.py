"""What several processes know of the accounts: two pools here are two processes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from gateway.bootstrap import open_pool
from gateway.config.settings import Settings
from gateway.domain.accounts import Secret
from gateway.domain.errors import (
    AccountExhausted,
    AccountRejected,
    NoAccountAvailable,
    StorageUnavailable,
    UpstreamError,
)
from gateway.storage.db.engine import Database
from gateway.storage.rate_counters import MachineCounters
from gateway.storage.records.accounts import AccountStore
from tests.services.pools import KEYS, account, call, end, lend, names, view


def exhausted(retry_after=60):
    return AccountExhausted("429", retry_after=retry_after)


def test_a_rest_holds_in_all_processes_from_their_next_choice_on(any_world):
    first, second = (any_world.pool(account("one"), account("two")) for _ in range(2))
    end(lend(first, skip={"two"}), exhausted())
    assert set(names(second, 4)) == {"two"}
    assert view(second, "one").back_in_s == pytest.approx(60, abs=1)


def test_other_machines_hear_of_it_when_they_look(any_world):
    here = any_world.pool(account("one"), account("two"))
    there = any_world.pool(account("one"), account("two"), machine="there")
    end(lend(here, skip={"two"}), exhausted())
    assert set(names(there, 4)) == {"one", "two"}
    there.refresh()
    assert set(names(there, 4)) == {"two"}


def test_a_rest_survives_a_restart(any_world):
    end(lend(any_world.pool(account("one"), account("two")), skip={"two"}), exhausted())
    assert set(names(any_world.pool(account("one"), account("two")), 4)) == {"two"}


def test_another_credential_of_the_same_name_begins_anew(any_world):
    call(any_world.pool(account("one")), AccountRejected("401"))
    assert call(any_world.pool(account("one", secret="a new secret"))) == "one"
    with pytest.raises(AccountRejected):
        call(any_world.pool(account("one")))


def test_one_process_tries_a_quarantined_account_and_all_hear_how_it_went(any_world):
    pools = [any_world.pool(account("one"), account("two")) for _ in range(4)]
    end(lend(pools[0], skip={"two"}), AccountRejected("401"))
    for pool in pools:
        call(pool)
    any_world.clock.pass_s(301)
    tried = [lease for pool in pools for lease in (lend(pool), lend(pool)) if lease.trial]
    assert [lease.account.name for lease in tried] == ["one"]
    end(tried[0], AccountRejected("401"))
    for pool in pools:
        assert set(names(pool, 4)) == {"two"}
        assert view(pool, "one").back_in_s == pytest.approx(600, abs=1)
    any_world.clock.pass_s(601)
    (trial,) = (lease for lease in (lend(pools[1]), lend(pools[1])) if lease.trial)
    end(trial)
    for pool in pools:
        call(pool)
        assert not view(pool, "one").quarantined


def test_failures_in_a_row_are_counted_over_all_processes(any_world):
    pools = [any_world.pool(account("one"), account("two")) for _ in range(4)]
    for pool in (*pools, pools[0]):
        assert view(pool, "one").circuit == "closed"
        end(lend(pool, skip={"two"}), UpstreamError("500"))
    assert [set(names(pool, 4)) for pool in pools] == [{"two"}] * 4


def test_processes_that_fail_at_once_forget_nothing_of_each_other(any_world):
    """None of them has heard of the others when it writes down what it found."""
    pools = [any_world.pool(account("one"), account("two")) for _ in range(5)]
    leases = [lend(pool, skip={"two"}) for pool in pools]
    with ThreadPoolExecutor(5) as threads:
        list(threads.map(lambda lease: end(lease, UpstreamError("500")), leases))
    (state,) = (state for state in any_world.states.all() if state.circuit_failures)
    assert state.circuit_failures == 5
    assert state.circuit_s > 25


def test_an_answer_does_not_wipe_out_what_another_process_has_just_found(any_world):
    first, second = (any_world.pool(account("one"), account("two")) for _ in range(2))
    end(lend(first, skip={"two"}), UpstreamError("500"))
    under_way = lend(second, skip={"two"})
    any_world.clock.pass_s(1)
    end(lend(first, skip={"two"}), exhausted())
    end(under_way)
    assert set(names(first, 4)) == set(names(second, 4)) == {"two"}


def test_half_of_the_accounts_stay_whoever_ejects_them(any_world):
    everyone = [account(name) for name in "abcd"]
    pools = [any_world.pool(*everyone, machine=name) for name in "abcd"]
    for pool, name in zip(pools, "abcd", strict=True):
        for _ in range(5):
            end(lend(pool, skip=set("abcd") - {name}), UpstreamError("500"))
    for pool in pools:
        pool.refresh()
        assert sum(found.circuit != "closed" for found in pool.snapshot()) <= 2
        assert len(set(names(pool, 8))) >= 2


def test_an_operators_reset_reaches_all_processes(any_world):
    first, second = (any_world.pool(account("one")) for _ in range(2))
    call(first, exhausted())
    with pytest.raises(NoAccountAvailable):
        call(second)
    assert second.reset("one")
    assert call(first) == call(second) == "one"


def unreachable(world):
    """A database without any tables, until it is migrated."""
    world.opened.append(Database(f"sqlite:///{world.folder}/nowhere/gateway.db", wait_s=0.1))
    return world.opened[-1]


def test_without_the_database_a_process_goes_by_what_it_knows(world):
    pool = world.pool(account("one"), account("two"), database=unreachable(world))
    end(lend(pool, skip={"two"}), exhausted())
    assert set(names(pool, 4)) == {"two"}
    end(lend(pool), AccountRejected("401"))
    with pytest.raises(NoAccountAvailable):
        call(pool)
    world.clock.pass_s(60)
    assert set(names(pool, 4)) == {"one"}
    world.clock.pass_s(240)
    trial = next(lease for lease in (lend(pool), lend(pool)) if lease.trial)
    assert trial.account.name == "two"
    end(trial)


def test_what_was_found_without_the_database_is_told_once_it_is_back(world):
    pool = world.pool(account("one"), database=unreachable(world))
    call(pool, exhausted(600))
    world.opened[-1].migrate()
    world.clock.pass_s(5)
    pool.refresh()
    other = world.pool(account("one"), database=world.opened[-1])
    with pytest.raises(NoAccountAvailable) as caught:
        call(other)
    assert caught.value.retry_after == pytest.approx(595, abs=2)


def test_accounts_with_places_are_not_lent_without_the_database(world):
    pool = world.pool(account("one", max_in_flight=1), database=unreachable(world))
    with pytest.raises(StorageUnavailable):
        lend(pool)
    mixed = world.pool(account("one", max_in_flight=1), account("two"), database=unreachable(world))
    assert set(names(mixed, 3)) == {"two"}


# -- accounts that come and go ---------------------------------------------------------


def test_an_account_added_by_command_serves_at_once_on_its_machine_and_soon_on_others(world):
    here, there = world.pool(), world.pool(machine="there")
    assert here.empty
    assert not here.serves("vendor", "model")
    world.accounts.add(account("new", secret="canary", weight=2, max_in_flight=3))
    world.bell().ring("accounts")
    assert here.serves("vendor", "model")
    assert call(here) == "new"
    assert here.get("new").secret.reveal() == "canary"
    assert not there.usable()
    there.refresh()
    assert call(there) == "new"
    found = view(there, "new")
    assert (found.configured, found.weight, found.max_in_flight) == (False, 2, 3)


@pytest.mark.parametrize("status", ["disabled", "draining"])
def test_an_account_that_is_put_out_of_service_finishes_what_it_has_begun(world, status):
    pool = world.pool()
    world.accounts.add(account("new"))
    pool.refresh()
    lease = lend(pool)
    world.accounts.set_status("new", status)
    pool.refresh()
    assert not pool.serves("vendor", "model")
    with pytest.raises(NoAccountAvailable):
        lend(pool)
    assert pool.get("new") is lease.account
    assert view(pool, "new").status == status
    end(lease)
    world.accounts.set_status("new", "enabled")
    pool.refresh()
    assert call(pool) == "new"
    assert view(pool, "new").in_flight == 0


def test_an_account_of_the_settings_can_be_put_out_of_service_too(any_world):
    here, there = (any_world.pool(account("one"), account("two")) for _ in range(2))
    for status in ("disabled", "draining"):
        any_world.accounts.switch("one", status)
        for pool in (here, there, any_world.pool(account("one"), account("two"))):
            pool.refresh()
            assert view(pool, "one").status == status
            assert set(names(pool, 4)) == {"two"}
    any_world.accounts.switch("one", "enabled")
    here.refresh()
    assert set(names(here, 4)) == {"one", "two"}


def test_a_removed_account_is_gone(world):
    pool = world.pool(account("fixed"))
    world.accounts.add(account("new"))
    pool.refresh()
    lease = lend(pool, skip={"fixed"})
    world.accounts.remove("new")
    pool.refresh()
    assert pool.get("new") is None
    end(lease, exhausted())
    assert set(names(pool, 3)) == {"fixed"}


def test_a_configured_name_wins_over_a_stored_one(world):
    pool = world.pool(account("one", secret="configured"))
    world.accounts.add(account("one", secret="stored"))
    pool.refresh()
    assert pool.get("one").secret.reveal() == "configured"
    assert len(pool.snapshot()) == 1


@pytest.mark.parametrize(
    ("demo_url", "found"), [("http://127.0.0.1:1", {"demo"}), (None, {"real"})]
)
def test_a_pool_of_simulators_takes_no_account_that_is_added(world, demo_url, found):
    world.accounts.add(account("real", upstream="ark"))
    simulated = (account("demo", upstream="ark"),) if demo_url else ()
    settings = Settings(
        state_dir=world.folder, secret_keys=KEYS, demo_url=demo_url, accounts=simulated
    )
    pool = open_pool(settings, world.database, world.database, MachineCounters())
    assert {view.name for view in pool.snapshot()} == found


def test_an_account_that_cannot_be_opened_is_left_out_and_the_others_serve(world):
    AccountStore(world.database, secret_keys=[Secret("another" * 5)]).add(account("sealed"))
    world.accounts.add(account("open"))
    pool = world.pool()
    assert set(names(pool, 3)) == {"open"}
    assert pool.get("sealed") is None
    assert pool.is_locked("sealed")
    assert not pool.is_locked("open")


def test_a_process_keeps_an_account_that_others_seal_with_a_key_it_does_not_have(world):
    new = Secret("new" * 9)
    world.accounts.add(account("one"))
    pool = world.pool()
    rotated = AccountStore(world.database, secret_keys=(new, *KEYS))
    rotated.reseal()
    for status in ("disabled", "enabled"):
        rotated.set_status("one", status)
        pool.refresh()
        assert view(pool, "one").status == status
    assert call(pool) == "one"
    rotated.remove("one")
    rotated.add(account("one", secret="another secret"))
    pool.refresh()
    assert pool.get("one") is None


def test_a_rest_longer_than_there_is_one_is_over(any_world):
    """The clock of the database was set back by an hour while an account rested."""
    pool = any_world.pool(account("one"))
    end(lend(pool), exhausted())
    (state,) = any_world.states.all()
    hour = replace(state, cool_s=state.cool_s + 3600, circuit_s=state.circuit_s + 3600)
    any_world.states.set(hour)
    assert call(any_world.pool(account("one"))) == "one"
    spent = replace(state, reason="day_quota", cool_s=20 * 3600.0)
    any_world.states.set(spent)
    with pytest.raises(NoAccountAvailable):
        call(any_world.pool(account("one")))
