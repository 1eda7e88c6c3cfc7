"""Accounts that come, go and change their status."""

from __future__ import annotations

import pytest

from gateway.bootstrap import open_pool
from gateway.config.settings import Settings
from gateway.domain.accounts import Secret
from gateway.domain.errors import NoAccountAvailable
from gateway.storage.db.processes import Processes
from gateway.storage.rate_counters import RateCounters
from gateway.storage.records.accounts import AccountStore
from tests.services.pools import KEYS, account, call, end, exhausted, lend, names, view


def read(world, *pools):
    """A second passes, and each process looks for changes."""
    world.clock.pass_s(1)
    for pool in pools:
        pool.refresh()


def test_an_account_added_by_command_serves_after_the_next_look(world):
    pool = world.pool()
    assert pool.empty
    assert not pool.serves("vendor", "model")
    world.accounts.add(account("new", secret="canary", weight=2, max_in_flight=3))
    read(world, pool)
    assert call(pool) == "new"
    assert pool.get("new").secret.reveal() == "canary"
    found = view(pool, "new")
    assert (found.configured, found.weight, found.max_in_flight) == (False, 2, 3)


@pytest.mark.parametrize("status", ["disabled", "draining"])
def test_an_account_that_is_taken_out_of_service_finishes_its_calls(world, status):
    pool = world.pool()
    world.accounts.add(account("new"))
    read(world, pool)
    lease = lend(pool)
    world.accounts.set_status("new", status)
    read(world, pool)
    assert not pool.serves("vendor", "model")
    with pytest.raises(NoAccountAvailable):
        lend(pool)
    assert pool.get("new") is lease.account
    assert view(pool, "new").state == status
    end(lease)
    world.accounts.set_status("new", "enabled")
    read(world, pool)
    assert call(pool) == "new"
    assert view(pool, "new").in_flight == 0


def test_an_account_of_the_settings_can_be_taken_out_of_service_too(any_world):
    here, there = (any_world.pool(account("one"), account("two")) for _ in range(2))
    for status in ("disabled", "draining"):
        any_world.accounts.switch("one", status)
        read(any_world, here, there)
        for pool in (here, there, any_world.pool(account("one"), account("two"))):
            assert view(pool, "one").state == status
            assert set(names(pool, 20)) == {"two"}
    any_world.accounts.switch("one", "enabled")
    read(any_world, here)
    assert set(names(here, 20)) == {"one", "two"}


def test_a_removed_account_is_gone(world):
    pool = world.pool(account("fixed"))
    world.accounts.add(account("new"))
    read(world, pool)
    lease = lend(pool, skip={"fixed"})
    world.accounts.remove("new")
    read(world, pool)
    assert pool.get("new") is None
    end(lease, exhausted())
    assert set(names(pool, 20)) == {"fixed"}


def test_a_changed_account_keeps_its_health(world):
    world.accounts.add(account("one"))
    pool = world.pool()
    call(pool, exhausted(60))
    world.accounts.remove("one")
    world.accounts.add(account("one", weight=5))
    read(world, pool)
    assert (view(pool, "one").weight, view(pool, "one").state) == (5, "cooling")


def test_a_configured_name_wins_over_a_stored_one(world):
    pool = world.pool(account("one", secret="configured"))
    world.accounts.add(account("one", secret="stored"))
    read(world, pool)
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
    database = world.database
    pool = open_pool(
        settings, database, database, RateCounters("memory://", {}), Processes(database)
    )
    assert {view.name for view in pool.snapshot()} == found


def test_an_account_that_cannot_be_decrypted_is_left_out_and_the_others_serve(world):
    AccountStore(world.database, secret_keys=[Secret("another" * 5)]).add(account("locked"))
    world.accounts.add(account("open"))
    pool = world.pool()
    assert set(names(pool, 3)) == {"open"}
    assert pool.get("locked") is None
    assert pool.is_locked("locked")
    assert not pool.is_locked("open")
