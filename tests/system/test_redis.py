"""Limits shared through a real Redis, and what its failures cost callers."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.redis import RedisServer

KEYS = {name: f"{name}-key-0123456789" for name in ("burst", "two", "steady", "spare", "mid")}


@pytest.fixture
def redis(tmp_path):
    with RedisServer.started(tmp_path) as server:
        yield server


@pytest.fixture
def shared(gateway_factory, redis):
    """Starts gateways on the same Redis, each a machine by itself."""
    keys = ",".join(f"{name}={key}" for name, key in KEYS.items())

    def start(limit="100/hour", workers=4, **settings):
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


def test_machines_share_one_limit(shared):
    with shared(workers=2) as one, shared(workers=2) as other:
        found = burst([one, other], 300, KEYS["two"])
        assert found.count(200) == 100
        assert found.count(429) == 200


def test_chats_go_on_while_redis_is_away(shared, redis):
    with shared("1000000/minute", workers=1) as gateway:

        def chats(count=10):
            key = KEYS["steady"]
            return {gateway.chat(key=key, model="doubao").status_code for _ in range(count)}

        assert chats() == {200}
        redis.freeze()
        assert chats() == {200}
        until(lambda: metric(gateway, "gateway_limits_redis_away") == 1)
        redis.thaw()
        until(lambda: chats(1) == {200} and metric(gateway, "gateway_limits_redis_away") == 0)
        redis.ask("FLUSHALL")
        assert chats() == {200}
        redis.kill()
        assert chats() == {200}


def test_each_process_keeps_the_limit_while_redis_is_away(shared, redis):
    with shared(workers=1) as gateway:
        redis.kill()
        found = burst([gateway], 150, KEYS["mid"])
        assert found.count(200) == 100
        assert found.count(429) == 50


def test_a_gateway_starts_without_redis_and_finds_it_later(shared, redis):
    redis.kill()
    with shared(workers=1) as gateway:
        assert gateway.get("/v1/models", key=KEYS["spare"]).status_code == 200
        until(lambda: metric(gateway, "gateway_limits_redis_away") == 1)
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
