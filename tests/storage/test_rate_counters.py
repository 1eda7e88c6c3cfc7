"""Counters that the processes of a machine share, and their fallback."""

from __future__ import annotations

import multiprocessing
from contextlib import suppress

import pytest
from limits import parse
from limits.strategies import SlidingWindowCounterRateLimiter

from gateway.storage import rate_counters
from gateway.storage.rate_counters import (
    MachineStorage,
    RateCounters,
    storage_location,
    wait_s,
)
from tests.support.disk import small_disk
from tests.support.redis import RedisServer

TEN = parse("10/minute")


class Clock:
    def __init__(self):
        self.time = 60_000.0

    def __call__(self):
        return self.time


@pytest.fixture
def path(tmp_path):
    return tmp_path / "rate_counters"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def windows(path, clock):
    return SlidingWindowCounterRateLimiter(MachineStorage(path=str(path), clock=clock))


def take_many(path, times):
    counters = RateCounters(*storage_location(None, path.parent))
    for _ in range(times):
        assert counters.take([parse("1000000/day")], "key") is None


def test_hits_of_several_processes_add_up(path):
    spawned = multiprocessing.get_context("spawn")
    takers = [spawned.Process(target=take_many, args=(path, 2000)) for _ in range(3)]
    for taker in takers:
        taker.start()
    for taker in takers:
        taker.join(60)
        assert taker.exitcode == 0
    windows = SlidingWindowCounterRateLimiter(MachineStorage(path=str(path)))
    assert windows.get_window_stats(parse("1000000/day"), "key").remaining == 994_000


def test_the_previous_window_counts_by_the_share_of_it_that_is_still_in_the_span(windows, clock):
    assert [windows.hit(TEN, "key") for _ in range(12)].count(True) == 10
    clock.time += 60  # the next window begins
    assert not windows.hit(TEN, "key")
    clock.time += 30  # half of the previous window is still in the last minute
    assert [windows.hit(TEN, "key") for _ in range(12)].count(True) == 5
    clock.time += 120
    assert [windows.hit(TEN, "key") for _ in range(12)].count(True) == 10


@pytest.mark.parametrize("amount", [1, 3, 10])
@pytest.mark.parametrize("later_s", [0.0, 17.0, 59.0])
def test_calls_fit_after_the_wait_and_not_before(windows, clock, amount, later_s):
    clock.time += later_s
    while windows.hit(TEN, "key"):
        clock.time += 2
    left_s = wait_s(windows, TEN, "key", amount=amount)
    assert 0 < left_s <= 120
    clock.time += left_s - 0.02
    assert not windows.test(TEN, "key", cost=amount)
    clock.time += 0.04
    assert windows.hit(TEN, "key", cost=amount)


def test_the_library_clears_and_resets_the_counters(windows):
    assert [windows.hit(TEN, "one") for _ in range(12)].count(True) == 10
    assert windows.test(TEN, "other")
    windows.clear(TEN, "one")
    assert windows.hit(TEN, "one")
    windows.storage.reset()
    assert windows.get_window_stats(TEN, "one").remaining == 10


def test_a_clock_that_is_set_back_ends_the_window(windows, clock):
    assert [windows.hit(TEN, "key") for _ in range(12)].count(True) == 10
    clock.time -= 3600
    assert windows.hit(TEN, "key")


def test_a_full_bucket_loses_the_counter_that_ends_first(path, monkeypatch, clock):
    monkeypatch.setattr(rate_counters, "_BUCKETS", 1)
    windows = SlidingWindowCounterRateLimiter(MachineStorage(path=str(path), clock=clock))
    day = parse("1/day")
    for number in range(7):
        assert windows.hit(day, f"key {number}")
    assert windows.hit(TEN, "minute")
    assert windows.hit(TEN, "another minute")
    assert not any(windows.test(day, f"key {number}") for number in range(7))
    assert windows.get_window_stats(TEN, "minute").remaining == 10


def test_counters_without_a_usable_file_are_those_of_the_process(tmp_path):
    (tmp_path / "file").touch()
    windows = SlidingWindowCounterRateLimiter(MachineStorage(path=str(tmp_path / "file" / "no")))
    assert [windows.hit(TEN, "key") for _ in range(12)].count(True) == 10


def count_on_a_full_disk(directory):
    windows = SlidingWindowCounterRateLimiter(MachineStorage(path=str(directory / "counters")))
    with suppress(OSError), (directory / "filler").open("wb", buffering=0) as filler:
        while True:
            filler.write(bytes(65536))
    for number in range(50):
        assert windows.hit(TEN, f"key {number}")


@pytest.mark.parametrize("size_mb", [1, 3])
def test_a_full_disk_does_not_kill_the_process(tmp_path, size_mb):
    disk = tmp_path / "disk"
    with small_disk(disk, size_mb):
        counting = multiprocessing.get_context("spawn").Process(
            target=count_on_a_full_disk, args=(disk,)
        )
        counting.start()
        counting.join(60)
    assert counting.exitcode == 0


def test_calls_refused_by_one_limit_do_not_count_under_the_others():
    counters = RateCounters("memory://", {})
    both = [parse("1/minute"), parse("3/hour")]
    assert counters.take(both, "key") is None
    for _ in range(5):
        exceeded = counters.take(both, "key")
        assert exceeded.full
        assert 0 < exceeded.wait_s <= 120
    assert counters.take([parse("3/hour")], "key", amount=2) is None


def test_several_calls_are_counted_together_or_not_at_all():
    counters = RateCounters("memory://", {})
    assert counters.take([TEN], "key", amount=8) is None
    exceeded = counters.take([TEN], "key", amount=3)
    assert not exceeded.full
    assert counters.take([TEN], "key", amount=2) is None
    assert counters.take([TEN], "key", amount=1).full


def test_counting_goes_on_in_the_process_while_redis_is_away(tmp_path):
    clock = Clock()
    with RedisServer.started(tmp_path) as redis:
        counters = RateCounters(*storage_location(redis.url, tmp_path / "unused"), clock=clock)
        assert counters.take([TEN], "key", amount=10) is None
        assert counters.take([TEN], "key") is not None
        redis.kill()
        assert counters.take([TEN], "key") is None
        redis.start()
        clock.time += 5
        assert counters.take([TEN], "key", amount=10) is None, "Redis has forgotten"
        assert counters.take([TEN], "key") is not None
