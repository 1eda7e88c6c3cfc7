"""Clocks that are set, back or ahead, by an hour: nothing stays taken, and nothing lapses early."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from sqlalchemy import select

from gateway.domain.accounts import Secret
from gateway.domain.jobs import Job
from gateway.storage.db.clock import SteadyClock
from gateway.storage.db.engine import Database
from gateway.storage.db.schema import now
from gateway.storage.rate_counters import Limit, MachineCounters
from gateway.storage.records.idempotency import IdempotencyStore, New
from gateway.storage.records.jobs import JobStore
from gateway.storage.records.journal import SessionJournalStore
from gateway.storage.records.tokens import TokenStore

HOUR_S = 3600.0  # what was taken for a minute, before the clock was set back by an hour


def _job(database):
    store = JobStore(database)
    store.create(Job(id="a", kind="video", owner="ann", model="m", request={}))
    with store.claim("a", ttl_s=HOUR_S + 12):
        assert store.claimable() == ["a"]
        with store.claim("a") as claim:
            return claim


def _session(database):
    store = SessionJournalStore(database)
    store.add("a", upstream="u", account="a", owner_token="dead", ttl_s=HOUR_S + 12)
    assert store.counts().lapsed == 1
    return store.lapsed("me")


def _key(database):
    store = IdempotencyStore(database)
    store.begin("scope", "key", "print", lease_s=HOUR_S + 12)
    return isinstance(store.begin("scope", "key", "print"), New)


def _token(database):
    store = TokenStore(database, secret_keys=[Secret("key")])
    assert store.claim("a", ttl_s=HOUR_S + 30)
    return store.claim("a", ttl_s=30)


@pytest.mark.parametrize("taken_again", [_job, _session, _key, _token])
def test_what_a_clock_set_back_would_keep_for_an_hour_is_free(database, taken_again):
    assert taken_again(database)


def test_a_rate_window_ends_although_the_clock_began_anew(tmp_path):
    clock = [HOUR_S]
    counters = MachineCounters(path=str(tmp_path / "counters"), clock=lambda: clock[0])
    limit = Limit("key", 1, 60)
    assert [window.room for _ in range(2) for window in counters.take([limit])] == [True, False]
    clock[0] = 0.0
    assert counters.take([limit]) == [(1, 60.0, True)]


def unix_now(database) -> float:
    with database.read() as connection:
        return float(connection.scalar(select(now())))


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_the_clock_of_sqlite_cannot_be_set(url, monkeypatch):
    wall = time.time
    with closing(Database(url)) as before:
        assert unix_now(before) == pytest.approx(time.time(), abs=5)
        for moved_s in (HOUR_S, -HOUR_S):
            monkeypatch.setattr(time, "time", lambda by=moved_s: wall() + by)
            with closing(Database(url)) as after:  # of a process that starts only now
                assert unix_now(after) == pytest.approx(unix_now(before), abs=1)


def test_clocks_that_begin_at_once_agree(tmp_path, monkeypatch):
    """However long each is held up between its looks at the wall and at what runs evenly."""
    clocks = [SteadyClock(tmp_path / "clock") for _ in range(8)]
    walls = iter(range(1000, 1008))

    def wall():
        found = next(walls)
        time.sleep(0.05)
        return found

    monkeypatch.setattr("gateway.storage.db.clock.time.time", wall)
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(SteadyClock.__call__, clocks))
    shown = [clock() for clock in clocks]
    assert max(shown) - min(shown) < 0.5


def test_a_clock_goes_by_the_wall_after_the_machine_was_started_anew(tmp_path):
    path = tmp_path / "clock"
    for text in ("another-boot -999.0", "nonsense", ""):
        path.write_text(text)
        assert SteadyClock(path)() == pytest.approx(time.time(), abs=5)
        assert SteadyClock(path)() == pytest.approx(time.time(), abs=5)


def test_a_clock_runs_also_where_nothing_can_be_written(tmp_path):
    assert SteadyClock(tmp_path / "none" / "clock")() == pytest.approx(time.time(), abs=5)
