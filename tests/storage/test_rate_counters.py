"""Counters that the processes of a machine share."""

from __future__ import annotations

import multiprocessing
import os
import random
import time
from contextlib import suppress

import pytest
from limits import parse
from limits.strategies import MovingWindowRateLimiter

from gateway.storage import rate_counters as counters
from gateway.storage.rate_counters import Limit, MachineCounters, Window
from tests.support.disk import small_disk

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


def hit(made, key="key", amount=1_000_000, expiry=60.0):
    """The only window of one hit."""
    (window,) = made.take([Limit(key, amount, expiry)])
    return window


def hits(made, key="key"):
    return made.window(Limit(key, 1_000_000, 60)).hits


def take_many(path, times):
    made = MachineCounters(path=path)
    for _ in range(times):
        hit(made)


def test_what_several_processes_count_adds_up(path):
    spawned = multiprocessing.get_context("spawn")
    takers = [spawned.Process(target=take_many, args=(path, 2000)) for _ in range(3)]
    for taker in takers:
        taker.start()
    for taker in takers:
        taker.join(60)
        assert taker.exitcode == 0
    assert hits(MachineCounters(path=path)) == 6000


def test_a_forked_process_counts_with_its_parent(path):
    made = MachineCounters(path=path)
    pid = os.fork()
    if pid == 0:
        for _ in range(500):
            hit(made)
        os._exit(0)
    for _ in range(500):
        hit(made)
    assert os.waitpid(pid, 0)[1] == 0
    assert hits(made) == 1000


def test_a_hit_is_over_when_its_time_is(path, clock):
    made = MachineCounters(path=path, clock=clock)
    assert hit(made, amount=2) == Window(1, 60)
    clock.time += 20
    assert hit(made, amount=2) == Window(2, 40)
    clock.time += 39
    assert hit(made, amount=2) == Window(2, 1, room=False)
    clock.time += 1
    assert hit(made, amount=2) == Window(2, 20)
    clock.time += 60
    assert made.window(Limit("key", 2, 60)) == Window(0, 0)


@pytest.mark.parametrize("amount", [1, 7, 31, 32, 100, 600])
def test_no_span_of_the_length_has_more_than_the_limit_and_a_burst_has_all_of_it(clock, amount):
    made, chance = MachineCounters(clock=clock), random.Random(amount)
    taken = [clock.time] * sum(hit(made, amount=amount).room for _ in range(amount + 5))
    assert len(taken) == amount
    for _ in range(20 * amount):
        clock.time += chance.choice((0.0, chance.expovariate(amount / 30), chance.uniform(0, 3)))
        if hit(made, amount=amount).room:
            taken.append(clock.time)
    for first, later in zip(taken, taken[amount:], strict=False):
        assert later - first >= 60
    for _ in range(2 * amount):  # and steadily, all but a thirtieth of it
        clock.time += 60 / amount
        taken.append(clock.time) if hit(made, amount=amount).room else None
    assert sum(at > clock.time - 60 for at in taken) >= amount * (1 - 1 / 30) - 1


def test_two_bursts_around_an_edge_are_no_more_than_one(clock):
    made = MachineCounters(clock=clock)
    assert [hit(made, amount=10).room for _ in range(12)].count(True) == 10
    for later_s in (59.9, 0.05):
        clock.time += later_s
        assert not hit(made, amount=10).room
    clock.time += 0.1
    assert [hit(made, amount=10).room for _ in range(12)].count(True) == 10


def test_what_one_limit_refuses_costs_the_others_nothing(clock):
    made = MachineCounters(clock=clock)
    both = [Limit("short", 1, 1), Limit("long", 5, 3600)]
    assert made.take(both) == [Window(1, 1), Window(1, 3600)]
    assert made.take(both) == [Window(1, 1, room=False), Window(1, 3600)]
    clock.time += 1
    assert made.take(both) == [Window(1, 1), Window(2, 3599)]


@pytest.mark.parametrize("limit", [7, 100, 600])
def test_several_hits_at_once_are_counted_together_or_not_at_all(clock, limit):
    made, chance, taken = MachineCounters(clock=clock), random.Random(limit), []
    windows = [Limit("key", limit, 60)]
    for _ in range(2000):
        clock.time += chance.expovariate(1)
        amount = chance.randint(1, 9)
        before = made.window(windows[0]).hits
        (found,) = made.take(windows, amount)
        assert found.room == (before + amount <= limit)
        assert found.hits == before + amount * found.room
        taken += [clock.time] * amount * found.room
    for first, later in zip(taken, taken[limit:], strict=False):
        assert later - first >= 60
    assert made.take(windows, limit + 1)[0].room is False


def test_the_library_reads_and_clears_the_windows(path):
    rates = MovingWindowRateLimiter(MachineCounters(path=path))
    assert [rates.hit(LIMIT, "one") for _ in range(12)] == [True] * 10 + [False] * 2
    assert not rates.test(LIMIT, "one")
    assert rates.test(LIMIT, "other")
    assert rates.get_window_stats(LIMIT, "one").reset_time == pytest.approx(time.time() + 60, abs=5)
    rates.clear(LIMIT, "one")
    assert rates.hit(LIMIT, "one")
    rates.storage.reset()
    assert rates.get_window_stats(LIMIT, "one").remaining == 10


def test_windows_outlive_a_process_but_not_a_restart_of_the_machine(path, monkeypatch):
    hit(MachineCounters(path=path))
    assert hits(MachineCounters(path=path)) == 1
    monkeypatch.setattr(counters, "boot_id", lambda: "another start")
    assert hits(MachineCounters(path=path)) == 0


def test_more_keys_than_there_is_room_for_push_out_those_that_end_first(path, monkeypatch, clock):
    monkeypatch.setattr(counters, "_BUCKETS", 1)
    made = MachineCounters(path=path, clock=clock)
    for number in range(8):
        hit(made, f"key {number}", expiry=60 + number)
    hit(made, "one more")
    found = [made.window(Limit(f"key {number}", 9, 60 + number)).hits for number in range(8)]
    assert found == [0, 1, 1, 1, 1, 1, 1, 1]
    assert hits(made, "one more") == 1


def test_what_callers_count_pushes_out_nothing_of_an_account(path, monkeypatch, clock):
    monkeypatch.setattr(counters, "_BUCKETS", 1)
    made = MachineCounters(path=path, clock=clock)
    cap = Limit("account", 1, 3600, ours=True)
    assert made.take([cap])[0].room
    for number in range(50):
        hit(made, f"key {number}", expiry=86_400)
    assert not made.take([cap])[0].room
    clock.time += 3600
    for number in range(8):
        hit(made, f"later {number}", expiry=86_400)
    found = [made.window(Limit(f"later {number}", 9, 86_400)).hits for number in range(8)]
    assert found == [1] * 8, "what is over makes room for everybody"


def test_nobody_can_tell_which_keys_share_their_place_without_the_file(tmp_path):
    keys = [f"key {number}" for number in range(20_000)]

    def left(name, hits):
        made = MachineCounters(path=str(tmp_path / name))
        for key in hits:
            hit(made, key)
        return {key for key in hits if made.window(Limit(key, 9, 60)).hits}

    assert left("one", keys) != left("other", keys)


def test_what_is_known_elsewhere_is_taken_over_where_it_is_more(path, clock):
    made, limit = MachineCounters(path=path, clock=clock), Limit("key", 10, 60)
    made.learn(limit, Window(7, 30), at=clock.time, amount=1)
    assert made.window(limit) == Window(7, 30)
    made.learn(limit, Window(3, 50), at=clock.time, amount=1)
    assert made.window(limit) == Window(7, 30)
    made.learn(limit, Window(10, 30, room=False), at=clock.time, amount=0)
    clock.time += 30
    assert made.window(limit) == Window(1, 30), "what others counted is over as it is there"


def count_on_a_full_disk(directory):
    made = MachineCounters(path=str(directory / "windows"))
    with suppress(OSError), (directory / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(bytes(65536))
    for number in range(50):
        assert hit(made, f"key {number}").hits == 1


@pytest.mark.parametrize("size_mb", [1, 16])
def test_a_disk_that_is_full_costs_no_process_its_life(tmp_path, size_mb):
    disk = tmp_path / "disk"
    with small_disk(disk, size_mb):
        counting = multiprocessing.get_context("spawn").Process(
            target=count_on_a_full_disk, args=(disk,)
        )
        counting.start()
        counting.join(60)
    assert counting.exitcode == 0


def test_without_a_place_for_the_file_a_process_counts_alone(tmp_path):
    (tmp_path / "file").touch()
    made = MachineCounters(path=str(tmp_path / "file" / "counters"))
    assert hit(made).hits == 1
    assert hit(made).hits == 2
