"""Counters that the processes of a machine share."""

from __future__ import annotations

import multiprocessing
import os

import pytest
from limits import parse
from limits.strategies import FixedWindowRateLimiter

from gateway.stores import counters
from gateway.stores.counters import MachineCounters, Window

LIMIT = parse("10/minute")


class Clock:
    def __init__(self):
        self.time = 1000.0

    def __call__(self):
        return self.time


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "state" / "counters")


@pytest.fixture
def clock():
    return Clock()


def take_many(path, times):
    made = MachineCounters(path=path)
    for _ in range(times):
        made.take("key", 3600)


def test_what_several_processes_count_adds_up(path):
    spawned = multiprocessing.get_context("spawn")
    takers = [spawned.Process(target=take_many, args=(path, 2000)) for _ in range(3)]
    for taker in takers:
        taker.start()
    for taker in takers:
        taker.join(60)
        assert taker.exitcode == 0
    assert MachineCounters(path=path).get("key") == 6000


def test_a_forked_process_counts_with_its_parent(path):
    made = MachineCounters(path=path)
    pid = os.fork()
    if pid == 0:
        for _ in range(500):
            made.take("key", 3600)
        os._exit(0)
    for _ in range(500):
        made.take("key", 3600)
    assert os.waitpid(pid, 0)[1] == 0
    assert made.get("key") == 1000


def test_a_window_ends_by_the_clock_of_the_machine(path, clock):
    made = MachineCounters(path=path, clock=clock)
    assert made.take("key", 60) == Window(1, 60)
    clock.time += 59
    assert made.take("key", 60) == Window(2, 1)
    assert made.window("key") == Window(2, 1)
    clock.time += 1
    assert made.window("key") == Window(0, 0)
    assert made.take("key", 60) == Window(1, 60)


def test_the_library_reads_and_clears_the_windows(path):
    rates = FixedWindowRateLimiter(MachineCounters(path=path))
    assert [rates.hit(LIMIT, "one") for _ in range(12)] == [True] * 10 + [False] * 2
    assert not rates.test(LIMIT, "one")
    assert rates.test(LIMIT, "other")
    rates.clear(LIMIT, "one")
    assert rates.hit(LIMIT, "one")
    rates.storage.reset()
    assert rates.get_window_stats(LIMIT, "one").remaining == 10


def test_windows_outlive_a_process_but_not_a_restart_of_the_machine(path, monkeypatch):
    MachineCounters(path=path).take("key", 3600)
    assert MachineCounters(path=path).get("key") == 1
    monkeypatch.setattr(counters, "boot_id", lambda: "another start")
    assert MachineCounters(path=path).get("key") == 0


def test_more_keys_than_there_is_room_for_push_out_those_that_end_first(path, monkeypatch, clock):
    monkeypatch.setattr(counters, "_BUCKETS", 1)
    made = MachineCounters(path=path, clock=clock)
    for number in range(8):
        made.take(f"key {number}", 60 + number)
    made.take("one more", 60)
    assert made.get("key 0") == 0
    assert all(made.get(f"key {number}") == 1 for number in range(1, 8))
    assert made.get("one more") == 1


def test_what_is_known_elsewhere_is_taken_over_where_it_is_more(path, clock):
    made = MachineCounters(path=path, clock=clock)
    made.take("key", 60)
    made.learn("key", Window(7, 30))
    assert made.window("key") == Window(7, 30)
    made.learn("key", Window(3, 50))
    assert made.window("key") == Window(7, 30)
    made.learn("new", Window(2, 10))
    assert made.window("new") == Window(2, 10)


def test_without_a_place_for_the_file_a_process_counts_alone(tmp_path):
    (tmp_path / "file").touch()
    made = MachineCounters(path=str(tmp_path / "file" / "counters"))
    assert made.take("key", 60).hits == 1
    assert made.take("key", 60).hits == 2
