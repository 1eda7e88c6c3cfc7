"""Nothing is taken for abandoned because nobody could reach the database."""

from __future__ import annotations

from contextlib import closing

import pytest

from gateway.domain.errors import StorageUnavailable
from gateway.domain.jobs import Job
from gateway.services.jobs.runner import JobRunner
from gateway.services.sessions.sessions import Sessions
from gateway.storage.db.engine import Database
from gateway.storage.records.jobs import JobStore
from gateway.storage.records.journal import SessionJournalStore
from tests.services.works import Vendor, opened

LEASE_S = 12.0


@pytest.fixture
def works(world):
    with Vendor.started() as vendor, opened(world, vendor) as make:
        yield make()


@pytest.fixture
def database(world):
    with closing(Database(world.database_url, wait_s=0.1)) as impatient:
        yield impatient


def sweep_of_jobs(world, works, database):
    jobs = JobStore(database)
    runner = JobRunner(jobs, works.steps, ended=lambda job: None, clock=world.clock)
    jobs.create(Job("j", "image", "alice", "m", request={}, status="submitting"))
    return runner.sweep, runner.stop


def sweep_of_sessions(world, works, database):
    store = SessionJournalStore(database)
    sessions = Sessions(store, world.pool(), lambda name: None, clock=world.clock)
    store.add("gw-x", upstream="u", account=None, owner_token="another", ttl_s=-1)
    return sessions.sweep, lambda: None


@pytest.mark.parametrize("made", [sweep_of_jobs, sweep_of_sessions])
def test_once_the_database_is_back_holders_have_their_turn_first(made, world, works, database):
    sweep, stop = made(world, works, database)
    with world.database.begin(), pytest.raises(StorageUnavailable):  # it is locked
        sweep()
    assert sweep() == 0
    world.clock.pass_s(LEASE_S - 1)
    assert sweep() == 0
    world.clock.pass_s(1)
    assert sweep() == 1
    stop()
