"""The registry of processes: who is dead, how soon that is known, and when nobody is."""

from __future__ import annotations

import subprocess
import sys
from contextlib import closing

import pytest

from gateway.domain.errors import StorageUnavailable
from gateway.storage.db.engine import Database
from gateway.storage.db.processes import DEAD_AFTER_S, HEARTBEAT_S, Processes
from tests.support.process import ROOT

_REGISTER = """
import sys, time
from gateway.storage.db.engine import Database
from gateway.storage.db.processes import Processes
print(Processes(Database(sys.argv[1])).register(), flush=True)
time.sleep(100)
"""


@pytest.fixture
def here(database, clock) -> Processes:
    processes = Processes(database, host="here", clock=clock)
    processes.register()
    return processes


@pytest.fixture
def there(database, clock) -> Processes:
    processes = Processes(database, host="there", clock=clock)
    processes.register()
    return processes


def let_pass(clock, seconds: float, *beating: Processes) -> None:
    for _ in range(int(seconds)):
        clock.time += 1
        for processes in beating:
            processes.heartbeat()


def test_a_process_of_another_host_is_dead_once_it_has_been_silent_for_15_seconds(
    here, there, clock
):
    here.heartbeat()
    let_pass(clock, DEAD_AFTER_S - 1, here)
    assert here.dead([there.id]) == frozenset()
    assert here.dead_in_s([there.id]) == pytest.approx(1)
    let_pass(clock, 1, here)
    assert here.dead([there.id]) == {there.id}
    assert here.alive() == {here.id}


def test_a_process_that_beats_stays_alive(here, there, clock):
    let_pass(clock, 4 * DEAD_AFTER_S, here, there)
    assert here.dead([there.id, here.id]) == frozenset()
    assert here.dead_in_s([there.id]) is None
    assert here.alive() == there.alive() == {here.id, there.id}


def test_an_unknown_process_is_dead_and_one_that_has_just_started_is_not(here, database, clock):
    here.heartbeat()
    started = Processes(database, host="there", clock=clock)
    assert here.dead(["unknown", started.register()]) == {"unknown"}


def test_a_killed_process_of_the_same_host_is_dead_at_once(url, database):
    processes = Processes(database)
    processes.register()
    command = [sys.executable, "-c", _REGISTER, url]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        name = other.stdout.readline().strip()
        assert processes.dead([name]) == frozenset()
        other.kill()
        while other.poll() is None and name not in processes.dead([name]):
            pass  # a zombie is dead already
        assert processes.dead([name]) == {name}


def test_another_process_that_got_the_number_of_a_dead_one_does_not_keep_it_alive(
    database, monkeypatch
):
    before = Processes(database)
    monkeypatch.setattr("gateway.storage.db.processes._started_ticks", lambda pid: 1)
    before.register()
    monkeypatch.undo()
    assert Processes(database).dead([before.id]) == {before.id}


def test_rows_of_dead_processes_are_removed_and_come_back_with_their_next_heartbeat(
    here, there, clock
):
    here.heartbeat()
    let_pass(clock, DEAD_AFTER_S, here)
    there.heartbeat()
    assert here.dead([there.id]) == frozenset()


def test_after_an_outage_of_the_database_nobody_is_declared_dead_for_a_further_period(
    here, there, database, clock, monkeypatch
):
    here.heartbeat()
    let_pass(clock, DEAD_AFTER_S - 1, here)

    def away(*arguments, **options):
        raise StorageUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(database, "read", away)
        let_pass_away(clock, here)
    let_pass(clock, DEAD_AFTER_S - 1, here)
    assert here.dead([there.id]) == frozenset()
    let_pass(clock, 2, here)
    assert here.dead([there.id]) == {there.id}


def let_pass_away(clock, processes: Processes) -> None:
    clock.time += HEARTBEAT_S
    with pytest.raises(StorageUnavailable):
        processes.heartbeat()


def test_a_process_that_was_held_up_itself_gives_the_others_a_further_period(here, there, clock):
    here.heartbeat()
    clock.time += 10 * DEAD_AFTER_S
    assert here.dead([there.id]) == frozenset()


def test_a_forked_process_has_an_id_of_its_own(own_url):
    script = f"""
import os
from gateway.storage.db.engine import Database
from gateway.storage.db.processes import Processes
processes = Processes(Database({own_url!r}))
mine = processes.register()
if os.fork() == 0:
    theirs = processes.register()
    assert theirs != mine and not processes.dead([mine])
    os._exit(0)
print(os.wait()[1], processes.register() == mine)
"""
    run = [sys.executable, "-c", script]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "0 True", done.stderr


def test_the_registry_is_shared_by_all_databases_of_one_url(own_url, clock):
    with closing(Database(own_url)) as one, closing(Database(own_url)) as two:
        first, second = Processes(one, clock=clock), Processes(two, clock=clock)
        first.register()
        second.register()
        assert first.alive() == second.alive() == {first.id, second.id}
