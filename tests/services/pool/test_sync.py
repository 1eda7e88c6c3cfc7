"""Health that processes share: two pools are two processes, which meet once a second."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.domain.errors import AccountRejected, NoAccountAvailable, UpstreamError
from gateway.storage.db.engine import Database
from tests.services.pools import account, call, end, exhausted, lend, names, view


def sync(*pools):
    """A second passes: each process writes its changes and reads those of the others."""
    for pool in (*pools, *pools):
        pool.refresh()


def test_a_cooldown_is_known_to_all_processes_after_the_next_sync(any_world):
    first, second = (any_world.pool(account("one"), account("two")) for _ in range(2))
    end(lend(first, skip={"two"}), exhausted(60))
    assert set(names(first, 20)) == {"two"}
    sync(first, second)
    assert set(names(second, 20)) == {"two"}
    assert view(second, "one").returns_in_s == pytest.approx(60, abs=1)


def test_a_refusal_for_quota_writes_nothing_before_the_sync_and_an_ejection_at_once(world):
    pool = world.pool(account("one"), account("two"))
    end(lend(pool, skip={"two"}), exhausted(60))
    assert world.states.changes(0) == []
    end(lend(pool, skip={"one"}), AccountRejected("401"))
    ((_, state),) = world.states.changes(0)
    assert state.eject_reason == "account"


def test_a_healthy_call_writes_nothing(world):
    pool = world.pool(account("one"))
    names(pool, 50)
    sync(pool)
    assert world.states.changes(0) == []


def test_a_cooldown_survives_a_restart(any_world):
    pool = any_world.pool(account("one"), account("two"))
    end(lend(pool, skip={"two"}), exhausted(60))
    sync(pool)
    assert set(names(any_world.pool(account("one"), account("two")), 20)) == {"two"}


def test_a_recovery_is_known_to_all_processes(any_world):
    first, second = (any_world.pool(account("one"), account("two")) for _ in range(2))
    end(lend(first, skip={"two"}), AccountRejected("401"))
    sync(second)
    assert view(second, "one").state == "ejected"
    any_world.clock.pass_s(301)
    end(lend(second, skip={"two"}))
    sync(second, first)
    assert view(first, "one").state == "ready"


def test_another_credential_of_the_same_name_begins_anew(any_world):
    call(any_world.pool(account("one")), AccountRejected("401"))
    assert call(any_world.pool(account("one", secret="a new secret"))) == "one"
    with pytest.raises(AccountRejected):
        call(any_world.pool(account("one")))


def test_each_process_probes_an_ejected_account_by_one_call(any_world):
    pools = [any_world.pool(account("one"), account("two")) for _ in range(3)]
    end(lend(pools[0], skip={"two"}), AccountRejected("401"))
    sync(*pools)
    any_world.clock.pass_s(301)
    for pool in pools:
        probe = lend(pool, skip={"two"})
        assert set(names(pool, 20)) == {"two"}
        end(probe, AccountRejected("401"))
        assert view(pool, "one").returns_in_s == pytest.approx(600, abs=1)


def test_what_two_processes_found_at_once_is_merged(any_world):
    first, second = (any_world.pool(account("one"), account("two")) for _ in range(2))
    end(lend(first, skip={"two"}), exhausted(600))
    end(lend(second, skip={"two"}), exhausted(5))
    sync(first, second)
    for pool in (first, second):
        assert view(pool, "one").returns_in_s == pytest.approx(600, abs=1)


def test_half_of_the_accounts_stay_whichever_process_ejects_them(any_world):
    everyone = [account(name) for name in "abcd"]
    pools = [any_world.pool(*everyone) for _ in "abcd"]
    for pool, name in zip(pools, "abcd", strict=True):
        for _ in range(5):
            end(lend(pool, skip=set("abcd") - {name}), UpstreamError("500"))
    sync(*pools)
    for pool in pools:
        assert sum(found.state == "ejected" for found in pool.snapshot()) <= 2
        assert len(set(names(pool, 40))) >= 2


def test_an_operators_reset_reaches_all_processes(any_world):
    first, second = (any_world.pool(account("one")) for _ in range(2))
    call(first, exhausted(60))
    sync(first, second)
    with pytest.raises(NoAccountAvailable):
        call(second)
    any_world.clock.pass_s(1)
    assert second.reset("one")
    sync(first)
    assert call(first) == call(second) == "one"


def unreachable(world):
    """A database without any tables, until it is migrated."""
    world.opened.append(Database(f"sqlite:///{world.folder}/nowhere/gateway.db", wait_s=0.1))
    return world.opened[-1]


def test_without_the_database_a_process_goes_by_what_it_knows(world):
    pool = world.pool(account("one"), account("two"), database=unreachable(world))
    end(lend(pool, skip={"two"}), exhausted(60))
    assert set(names(pool, 20)) == {"two"}
    end(lend(pool), AccountRejected("401"))
    with pytest.raises(NoAccountAvailable):
        call(pool)
    world.clock.pass_s(60)
    assert set(names(pool, 20)) == {"one"}


def test_what_was_found_without_the_database_is_written_once_it_is_back(world):
    pool = world.pool(account("one"), database=unreachable(world))
    call(pool, exhausted(600))
    pool.refresh()
    world.opened[-1].migrate()
    world.clock.pass_s(5)
    pool.refresh()
    other = world.pool(account("one"), database=world.opened[-1])
    with pytest.raises(NoAccountAvailable) as caught:
        call(other)
    assert caught.value.retry_after == pytest.approx(595, abs=2)


def test_a_time_beyond_the_longest_cooldown_is_cut_to_it(any_world):
    """The clock of the machine that wrote it was an hour ahead."""
    pool = any_world.pool(account("one"))
    end(lend(pool), exhausted(1800))
    sync(pool)
    ((_, state),) = any_world.states.changes(0)
    any_world.states.set(replace(state, cool_until=state.cool_until + 86_400))
    assert view(any_world.pool(account("one")), "one").returns_in_s == pytest.approx(3600, abs=1)
