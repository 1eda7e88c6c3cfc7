"""What the tests run in several processes at once; each function is one process's part."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from gateway.services.pool.slots import Slots
from gateway.storage.db.engine import Database
from gateway.storage.db.processes import Processes
from gateway.storage.records.idempotency import Claim, IdempotencyStore
from gateway.storage.records.jobs import JobStore
from gateway.storage.records.slots import SlotStore

# Processes that have the modules, but nothing of the test's: as if on another machine.
CONTEXT = get_context("forkserver")
CONTEXT.set_forkserver_preload([__name__])
THREADS = 10
ROUNDS = 10


@dataclass(frozen=True)
class Diary:
    """Who used what and when, written by every process into one file."""

    path: Path

    def write(self, what: str, place: str) -> None:
        line = f"{time.monotonic_ns()} {os.getpid()} {what} {place}\n"
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)

    @contextmanager
    def using(self, place: str) -> Iterator[None]:
        self.write("+", place)
        time.sleep(0.001)
        yield
        self.write("-", place)

    def uses(self) -> int:
        return self.path.read_text().count("+") if self.path.exists() else 0

    def crowds(self, killed: dict[int, int]) -> dict[str, int]:
        """The most users that each place had at once; `killed` says when processes ended."""
        users: dict[str, int] = {}
        most: dict[str, int] = {}
        held: dict[int, list[str]] = {}
        entries = [line.split() for line in self.path.read_text().splitlines()]
        entries += [[str(when), str(pid), "!", ""] for pid, when in killed.items()]
        events = [
            (int(when), int(pid), what, "".join(where)) for when, pid, what, *where in entries
        ]
        dead = set()
        for _, pid, what, place in sorted(events):
            if what == "!":
                dead.add(pid)
            elif pid in dead:  # in its last moments
                continue
            if what == "+":
                users[place] = users.get(place, 0) + 1
                most[place] = max(most.get(place, 0), users[place])
                held.setdefault(pid, []).append(place)
                continue
            for over in held.pop(pid, []) if what == "!" else [place]:
                users[over] -= 1
                if what == "-":
                    held[pid].remove(over)
        return most


def use_slots(url: str, diary: Diary, places: dict[str, int]) -> None:
    database = Database(url)
    slots = Slots(SlotStore(database), Processes(database), uniform=random.uniform)
    while True:
        for name, count in places.items():
            if slots.acquire(name, count) is not None:
                time.sleep(0.001)
                continue
            with diary.using(name):
                pass
            slots.release(name)


def use_claims(url: str, diary: Diary, places: dict[str, int]) -> None:
    database = Database(url)
    store = JobStore(database, Processes(database))
    while True:
        for job_id in places:
            with store.claim(job_id) as job:
                if job is None:
                    time.sleep(0.001)
                    continue
                with diary.using(job_id):
                    store.save(replace(job, progress=job.progress + 1))


def migrate(url: str, barrier: Any, results: Any) -> None:
    barrier.wait()
    database = Database(url)
    database.migrate()
    database.ping()
    results.put(os.getpid())


def race(url: str, barrier: Any, results: Any) -> None:
    """In THREADS threads run for the key of every round; the result is how many were won."""
    database = Database(url)
    won = []
    with ThreadPoolExecutor(THREADS) as pool:
        for number in range(ROUNDS):
            barrier.wait()
            runs = [pool.submit(win_key, database, number) for _ in range(THREADS)]
            won.append(sum(run.result() for run in runs))
    barrier.wait()  # the key of a process that has ended is free
    results.put(won)


def win_key(database: Database, number: int) -> int:
    store = IdempotencyStore(database, Processes(database))
    return isinstance(store.begin("s", f"k{number}", "f"), Claim)
