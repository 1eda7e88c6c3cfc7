"""What holds between processes, some of which are killed at any moment."""

from __future__ import annotations

import random
import time
from contextlib import closing

import pytest

from gateway.domain.jobs import Job
from gateway.storage.db.engine import Database
from gateway.storage.db.processes import Processes
from gateway.storage.records.jobs import JobStore
from tests.storage import processes
from tests.storage.processes import CONTEXT, ROUNDS, Diary

WORKERS = 4
RACERS = 5


def run_with_kills(
    worker, url: str, diary: Diary, places: dict[str, int], *, uses: int, kills: int
):
    """Run workers until there were that many uses, killing and replacing some on the way.

    Returns when each killed process was gone.
    """

    def start():
        process = CONTEXT.Process(target=worker, args=(url, diary, places), daemon=True)
        process.start()
        return process

    running = [start() for _ in range(WORKERS)]
    killed: dict[int, int] = {}

    def kill(process) -> None:
        killed[process.pid] = time.monotonic_ns()  # others may know at once
        process.kill()
        process.join()

    deadline = time.monotonic() + 60 + uses / 20
    while (done := diary.uses()) < uses:
        assert time.monotonic() < deadline, f"{done} of {uses} uses, {len(killed)} kills"
        assert all(process.is_alive() for process in running)
        if done > uses * (len(killed) + 1) / (kills + 1):
            victim = running.pop(random.randrange(WORKERS))
            kill(victim)
            running.append(start())
        time.sleep(0.02)
    for process in running:
        kill(process)
    assert len(killed) == kills + WORKERS
    return killed


def together(part, url: str) -> list:
    """What RACERS processes that do it at the same time put into the queue."""
    barrier, results = CONTEXT.Barrier(RACERS), CONTEXT.Queue()
    running = [CONTEXT.Process(target=part, args=(url, barrier, results)) for _ in range(RACERS)]
    for process in running:
        process.start()
    found = [results.get(timeout=100) for _ in running]
    for process in running:
        process.join()
        assert process.exitcode == 0
    return found


@pytest.fixture
def diary(tmp_path) -> Diary:
    return Diary(tmp_path / "diary")


def test_slots_never_overlap_though_processes_are_killed(own_url, diary, soak):
    places = {"a": 2, "b": 1}
    uses, kills = (10_000, 30) if soak else (2000, 6)
    killed = run_with_kills(processes.use_slots, own_url, diary, places, uses=uses, kills=kills)
    assert diary.crowds(killed) == places


def test_claims_never_overlap_though_processes_are_killed(own_url, diary, soak):
    uses, kills = (10_000, 30) if soak else (1000, 4)
    places = {f"j{number}": 1 for number in range(5)}
    with closing(Database(own_url)) as database:
        jobs = JobStore(database, Processes(database))
        for name in places:
            jobs.create(Job(id=name, kind="video", owner="o", model="m", request={}))
        worker = processes.use_claims
        killed = run_with_kills(worker, own_url, diary, places, uses=uses, kills=kills)
        assert diary.crowds(killed) == places
        progress = sum(jobs.get(name).progress for name in places)
    assert diary.uses() - len(killed) <= progress <= diary.uses()


def test_a_key_that_fifty_callers_want_at_once_goes_to_one(url):
    won = together(processes.race, url)
    assert [sum(of_round) for of_round in zip(*won, strict=True)] == [1] * ROUNDS


def test_processes_that_start_together_migrate_once(empty_url):
    assert len(set(together(processes.migrate, empty_url))) == RACERS
