"""The reaper deletes the sessions of dead processes, and nobody else's."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.domain.accounts import Secret
from gateway.services.sessions.reaper import Reaper
from gateway.services.sessions.sessions import Sessions
from gateway.storage.db.processes import Processes

MINUTES_2, MINUTES_10, HOUR = 121, 601, 3601


class Process:
    """One process: its sessions and its reaper."""

    def __init__(self, database, upstream, accounts, clock, *, host="here", installation="here"):
        self.processes = Processes(database, host=host, clock=clock)
        self.processes.register()
        named = {"installation": installation, "clock": clock}
        self.sessions = Sessions(self.processes, lambda _: upstream, **named)
        self.reaper = Reaper(self.processes, lambda: accounts, lambda _: upstream, **named)
        self.label = f"gw-{installation}-{self.processes.id}-1"


@pytest.fixture
def started(database, enterprise, account, clock):
    def make(**options) -> Process:
        return Process(database, enterprise, [account], clock, **options)

    return make


@pytest.fixture
def labels(enterprise, account):
    return lambda: set(enterprise.session_labels(account, ""))


def reaped(*processes: Process) -> int:
    return sum(process.reaper.run() for process in processes)


def end(process: Process, database) -> None:
    """As if another process had found it dead."""
    from gateway.storage.db.schema import processes

    with database.write() as connection:
        connection.execute(processes.delete().where(processes.c.id == process.processes.id))


def test_sessions_of_a_dead_process_are_deleted_and_those_of_others_are_not(
    started, client, labels, database
):
    living, dead, foreign = started(), started(), started(installation="there")
    for label in (living.label, dead.label, foreign.label, "somebody's own"):
        client.create_session(label)
    end(foreign, database)
    assert reaped(living, dead) == 0
    end(dead, database)
    assert reaped(living) == 1
    assert labels() == {living.label, foreign.label, "somebody's own"}


def test_one_of_the_living_processes_does_the_work(started, client, database):
    living, dead = [started() for _ in range(5)], started()
    client.create_session(dead.label)
    end(dead, database)
    assert sorted(process.reaper.run() for process in living) == [0, 0, 0, 0, 1]


def test_sessions_are_only_listed_for_a_while_after_a_death_and_now_and_then(
    started, client, labels, database, clock, enterprise, account
):
    living, dead = started(), started()
    living.processes.heartbeat()
    clock.time += MINUTES_2
    living.processes.heartbeat()
    dead.processes.heartbeat()
    assert reaped(living) == 0
    client.create_session("gw-here-unknown-1")
    clock.time += 1
    assert reaped(living) == 0
    end(dead, database)
    assert reaped(living) == 1
    clock.time += MINUTES_2
    client.create_session("gw-here-unknown-2")
    assert reaped(living) == 0
    clock.time += MINUTES_10
    assert reaped(living) == 1


def test_a_session_that_outlived_every_time_out_is_deleted(started, client, labels, clock):
    process = started()
    client.create_session(process.label)
    client.create_session("gw-here-labelled1before2processes3were4named")
    assert reaped(process) == 0
    clock.time += HOUR
    assert reaped(process) == 2
    assert labels() == set()


def test_an_account_that_cannot_be_listed_keeps_no_other_from_it(
    started, client, database, account, enterprise, clock
):
    wrong = replace(account, name="wrong", secret=Secret("own-wrong"))
    process = Process(database, enterprise, [wrong, account], clock)
    client.create_session("gw-here-unknown-1")
    assert reaped(process) == 1


def test_open_sessions_are_listed_with_their_processes(started, client, database, account):
    process = started()
    for label in (process.label, "gw-here-unknown-1"):
        client.create_session(label)
    found = {one.label: one for one in process.reaper.sessions()}
    assert found[process.label].process_alive
    assert found[process.label].account == account.name
    assert not found["gw-here-unknown-1"].process_alive
    for name in found:
        (session,) = client.sessions_with(name)
        client.delete_session(session)
