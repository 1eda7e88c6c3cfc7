"""Limits shared through a real Redis, and what its failures cost callers."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from gateway.storage.rate_counters import Limit
from gateway.storage.redis_counters import SCHEME, SharedCounters
from tests.support.callers import ask
from tests.support.redis import RedisServer

HI = ask("Hi", model="doubao", stream=False)
BARELY = 0.06  # what a failure of Redis may add, once
NOISE = 0.1  # what two busy cores may add by themselves
KEYS = {name: f"{name}-key-0123456789" for name in ("burst", "two", "steady", "spare", "mid")}


@pytest.fixture
def redis(tmp_path):
    with RedisServer.started(tmp_path) as server:
        yield server


@pytest.fixture
def shared(gateway_factory, redis):
    """Starts gateways on the same Redis, each a machine by itself."""
    keys = ",".join(f"{name}={key}" for name, key in KEYS.items())

    def start(limit="100/minute", workers=4, **settings):
        return gateway_factory.started(
            workers=workers,
            REDIS_URL=redis.url,
            GATEWAY_RATE_LIMIT=limit,
            GATEWAY_KEYS=keys,
            **settings,
        )

    return start


def burst(gateways, times, key):
    """Statuses of calls that come at once, spread over the gateways and their workers."""

    def call(i):
        return gateways[i % len(gateways)].get("/v1/models", key=key).status_code

    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(call, range(times)))


def metric(gateway, name):
    for line in gateway.get("/metrics").text.splitlines():
        if line.startswith(f"{name} "):
            return float(line.split()[1])
    return None


def until(condition, within_s=20):
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_machines_share_one_limit_exactly(shared):
    with shared(workers=2) as one, shared(workers=2) as other:
        found = burst([one, other], 300, KEYS["two"])
        assert found.count(200) == 100
        assert found.count(429) == 200


def test_no_span_has_more_than_the_limit_whichever_machine_is_asked(redis, tmp_path):
    url, limit = SCHEME + redis.url, Limit("key", 40, 0.4)
    machines = [SharedCounters(url, path=str(tmp_path / name / "c")) for name in "ab"]
    taken = []
    until_s = time.monotonic() + 2
    while (asked := time.monotonic()) < until_s:
        (window,) = machines[len(taken) % 2].take([limit])
        assert window.hits <= 40
        assert window.left_s < 0.4 + 1e-6
        if window.room:
            taken.append((asked, time.monotonic()))
        else:
            time.sleep(window.left_s)
    for (asked, _), (_, answered) in zip(taken, taken[40:], strict=False):
        assert answered - asked >= 0.4
    assert len(taken) >= 40 * 3


def test_what_one_limit_refuses_costs_the_others_nothing_in_redis(redis, tmp_path):
    shared = SharedCounters(SCHEME + redis.url, path=str(tmp_path / "c"))
    both = [Limit("short", 1, 60), Limit("long", 5, 3600)]
    assert [window.room for window in shared.take(both)] == [True, True]
    for _ in range(3):
        assert [(w.hits, w.room) for w in shared.take(both)] == [(1, False), (1, True)]


def test_several_hits_at_once_are_counted_together_or_not_at_all_in_redis(redis, tmp_path):
    machines = [
        SharedCounters(SCHEME + redis.url, path=str(tmp_path / name / "c")) for name in "ab"
    ]
    limit = Limit("key", 100, 60)
    found = [machines[n % 2].take([limit], amount)[0] for n, amount in enumerate((40, 40, 40, 20))]
    assert [(window.hits, window.room) for window in found] == [
        (40, True),
        (80, True),
        (80, False),
        (100, True),
    ]
    assert [machine.window(limit).hits for machine in machines] == [80, 100]


@pytest.mark.timeout(900)
def test_no_failure_of_redis_is_one_of_a_chat(shared, redis, soak):
    """Frozen, back, emptied, killed: one short wait each time it falls silent."""
    count = 10_000 if soak else 60
    with shared("1000000/minute", workers=1) as gateway, requests.Session() as session:
        session.headers["Authorization"] = f"Bearer {KEYS['steady']}"

        def timed(_=0):
            began = time.perf_counter()
            answer = session.post(f"{gateway.url}/v1/chat/completions", json=HI, timeout=20)
            return time.perf_counter() - began, answer.status_code

        def run(name):
            first_s, status = timed()
            rest = [timed() for _ in range(count)]
            assert {status, *(status for _, status in rest)} == {200}
            times = sorted(seconds for seconds, _ in rest)
            p50, p99 = times[count // 2], times[count * 99 // 100]
            sys.stdout.write(
                f"{count} chats, Redis {name}: first +{(first_s - usual) * 1000:.1f} ms,"
                f" then p50 {p50 * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms"
                f" (usual p50 {usual * 1000:.1f} ms)\n"
            )
            assert p50 < usual * 3 + 0.005
            return first_s

        timed()
        usual = sorted(timed()[0] for _ in range(30))[15]
        redis.freeze()
        assert run("frozen") < usual + BARELY + NOISE
        assert metric(gateway, "gateway_limits_redis_away") == 1
        redis.thaw()
        until(lambda: timed()[1] == 200 and metric(gateway, "gateway_limits_redis_away") == 0)
        redis.ask("FLUSHALL")
        run("emptied")
        redis.kill()
        assert run("killed") < usual + BARELY + NOISE


def test_a_limit_goes_on_from_where_it_was_when_redis_dies(shared, redis):
    with shared() as gateway:
        assert burst([gateway], 60, KEYS["mid"]).count(200) == 60
        redis.kill()
        found = burst([gateway], 120, KEYS["mid"])
        assert found.count(200) == 40
        assert found.count(429) == 80
        redis.start()  # without what it knew
        assert burst([gateway], 20, KEYS["mid"]).count(429) == 20


def test_a_gateway_starts_without_redis_and_finds_it_later(shared, redis):
    redis.kill()
    with shared(workers=1) as gateway:
        assert gateway.get("/v1/models", key=KEYS["spare"]).status_code == 200
        assert metric(gateway, "gateway_limits_redis_away") == 1
        redis.start()

        def asked_redis():
            assert gateway.get("/v1/models", key=KEYS["spare"]).status_code in (200, 429)
            return redis.ask("DBSIZE") != ":0"

        until(asked_redis)


def test_emptying_redis_under_load_is_never_an_error(shared, redis, soak):
    with shared("1000000/minute") as gateway:
        for _ in range(20 if soak else 3):
            found = burst([gateway], 200, KEYS["burst"])
            assert redis.ask("FLUSHALL") == "+OK"
            assert set(found) == {200}
