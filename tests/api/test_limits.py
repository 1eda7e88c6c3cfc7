"""Limits as callers meet them: over several workers, by key, credential and address."""

from __future__ import annotations

import re
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from tests.support.process import BIN, clean_env, run

TEAM = "team-key-0123456789"
OTHER = "other-key-0123456789"
SMALL = "small-key-0123456789"
TOML = f"""
[[keys]]
name = "small"
key = "{SMALL}"
limits = "3/minute"

[[keys]]
name = "double"
key = "double-key-0123456789"
limits = "1000/hour; 4/minute"

[[keys]]
name = "brief"
key = "brief-key-0123456789"
limits = "4/3 seconds"
"""


@pytest.fixture(scope="module")
def limited(gateway_factory):
    with gateway_factory.started(
        workers=4,
        toml=TOML,
        GATEWAY_RATE_LIMIT="20/minute",
        GATEWAY_KEYS=f"team={TEAM},other={OTHER}",
        GATEWAY_TRUSTED_PROXIES="1",
    ) as running:
        yield running


def models(gateway, times=1, **kw):
    with ThreadPoolExecutor(8) as pool:
        answers = [pool.submit(gateway.get, "/v1/models", **kw) for _ in range(times)]
    return [answer.result() for answer in answers]


def statuses(answers):
    found = [answer.status_code for answer in answers]
    return {status: found.count(status) for status in set(found)}


def test_the_limit_holds_over_the_workers_of_a_machine(limited):
    assert statuses(models(limited, 60, key=TEAM)) == {200: 20, 429: 40}
    assert statuses(models(limited, 5, key=OTHER)) == {200: 5}


def test_every_answer_tells_the_state_of_the_limit(limited):
    first, second = limited.get("/v1/models", key=SMALL), limited.get("/v1/models/no", key=SMALL)
    assert second.status_code == 404
    for answer, left in ((first, "2"), (second, "1")):
        assert answer.headers["x-ratelimit-limit-requests"] == "3"
        assert answer.headers["x-ratelimit-remaining-requests"] == left
        assert re.fullmatch(r"\d*m?\d+s", answer.headers["x-ratelimit-reset-requests"])
    stream = limited.chat(key=SMALL, stream=True)
    assert stream.headers["x-ratelimit-remaining-requests"] == "0"
    refused = limited.get("/v1/models", key=SMALL)
    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == "rate_limit_exceeded"
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert 1 <= int(refused.headers["Retry-After"]) <= 120


def test_of_several_limits_the_tightest_is_told(limited):
    answer = limited.get("/v1/models", key="double-key-0123456789")
    assert answer.headers["x-ratelimit-limit-requests"] == "4"
    assert answer.headers["x-ratelimit-remaining-requests"] == "3"


def test_a_caller_over_its_limit_may_call_again_after_retry_after(limited):
    key = "brief-key-0123456789"
    refused = 0
    for _ in range(14):
        answer = limited.get("/v1/models", key=key)
        if answer.status_code == 429:
            refused += 1
            wait_s = int(answer.headers["Retry-After"])
            assert answer.headers["x-ratelimit-reset-requests"] == f"{wait_s}s"
            assert 1 <= wait_s <= 6
            time.sleep(wait_s)
            assert limited.get("/v1/models", key=key).status_code == 200
    assert refused


def test_an_address_with_a_port_is_the_address(limited):
    for port in (50001, 50002):
        where = {"X-Forwarded-For": f"203.0.113.7:{port}"}
        assert statuses(models(limited, 10, headers=where)) == {200: 10}
    where = {"X-Forwarded-For": "203.0.113.7"}
    assert limited.get("/v1/models", headers=where).status_code == 429
    where = {"X-Forwarded-For": "203.0.113.8:50001"}
    assert limited.get("/v1/models", headers=where).status_code == 200


def test_invented_forwarding_headers_do_not_make_one_client_many(limited):
    answers = [
        limited.get("/v1/models", headers={"X-Forwarded-For": f"9.9.9.{i}, 198.51.100.7"})
        for i in range(25)
    ]
    assert statuses(answers) == {200: 20, 429: 5}
    answer = limited.get("/v1/models", headers={"X-Forwarded-For": "198.51.100.8"})
    assert answer.status_code == 200


def test_an_ipv6_client_is_its_network(limited):
    answers = [
        limited.get("/v1/models", headers={"X-Forwarded-For": f"2001:db8:1:2::{i:x}"})
        for i in range(25)
    ]
    assert statuses(answers) == {200: 20, 429: 5}


def test_credentials_of_callers_own_count_under_the_client_address(limited):
    where = {"X-Forwarded-For": "192.0.2.2"}
    answers = [limited.get("/v1/models", key=f"made-up-{i}", headers=where) for i in range(25)]
    assert statuses(answers) == {200: 20, 429: 5}
    assert limited.get("/v1/models", headers=where).status_code == 429
    assert limited.get("/v1/models", key=OTHER, headers=where).status_code == 200


def test_without_trusted_proxies_no_header_tells_where_a_client_is(gateway_factory):
    with gateway_factory.started(workers=1, GATEWAY_RATE_LIMIT="3/minute") as gateway:
        answers = [
            gateway.get("/v1/models", headers={"X-Forwarded-For": f"203.0.113.{i}"})
            for i in range(5)
        ]
    assert statuses(answers) == {200: 3, 429: 2}


def test_the_nearest_proxy_says_whether_links_begin_with_https(limited):
    headers = {"X-Forwarded-For": "198.51.100.77", "X-Forwarded-Proto": "https"}
    made = limited.post("/v1/images/generations", {"prompt": "a cat"}, headers=headers)
    assert made.json()["data"][0]["url"].startswith("https://127.0.0.1:")


def test_guessing_keys_is_refused_without_touching_gateway_keys(limited):
    where = {"X-Forwarded-For": "192.0.2.66"}
    guesses = models(limited, 25, key="gw-guessed-key-0123456789", headers=where)
    assert statuses(guesses) == {401: 25}, "calls that are refused do not count under the limit"
    guesses += models(limited, 105, key="gw-guessed-key-0123456789", headers=where)
    counts = statuses(guesses)
    assert 100 <= counts[401] <= 110, "calls at once may pass the limit by their number"
    refused = next(answer for answer in guesses if answer.status_code == 429)
    assert 1 <= int(refused.headers["Retry-After"]) <= 120
    # Nor are credentials tried out at the vendors from there.
    assert limited.chat(key="ark-other-guess", headers=where).status_code == 429
    assert limited.get("/v1/models", key=OTHER, headers=where).status_code == 200
    elsewhere = {"X-Forwarded-For": "192.0.2.67"}
    assert limited.get("/v1/models", key="gw-guess", headers=elsewhere).status_code == 401


def test_credentials_that_vendors_refuse_count_as_wrong(gateway_factory, simulators):
    with gateway_factory.started(workers=1) as gateway:
        answers = [gateway.chat(key="ark-wrong-0")]
        while answers[-1].status_code == 401 and len(answers) < 200:
            answers.append(gateway.chat(key=f"ark-wrong-{len(answers)}"))
    assert answers[-1].status_code == 429
    assert len(answers) > 100  # by a few, where a minute begins meanwhile
    assert not simulators.calls(f"ark-wrong-{len(answers) - 1}")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("GATEWAY_RATE_LIMIT", "many"),
        ("GATEWAY_RATE_LIMIT", "0/minute"),
        ("GATEWAY_RATE_LIMIT", "5/fortnight"),
        ("REDIS_URL", "redis://127.0.0.1/0?nonsense=1"),
        ("REDIS_URL", "redis://:pa55word@[bad"),
    ],
)
def test_a_limit_that_cannot_be_read_stops_the_start(tmp_path, variable, value):
    env = clean_env({variable: value})
    done = run([BIN / "python", "-c", "import wsgi"], env=env, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"gateway: {variable}: ")
    assert "pa55word" not in done.stderr


@pytest.mark.parametrize(
    ("table", "named"),
    [
        ('[[keys]]\nname = "k"\nkey = "k-0123456789abcdef"\nlimits = "x"', "keys[1] (k): limits"),
        ('[[keys]]\nname = "k"\nkey = "k-0123456789abcdef"\nexpires = "x"', "keys[1] (k): expires"),
        (
            '[[accounts]]\nname = "a"\nupstream = "ark"\ncredential = "c"\nlimits = {chat = 7}',
            "accounts[1] (a): limits",
        ),
    ],
)
def test_a_table_that_cannot_be_read_stops_the_start(tmp_path, table, named):
    (tmp_path / "gateway.toml").write_text(table)
    env = clean_env({})
    done = run([BIN / "python", "-c", "import wsgi"], env=env, cwd=tmp_path)
    assert done.returncode == 1
    assert named in done.stderr


@pytest.mark.parametrize(
    ("key", "model", "reset"),
    [
        ("ark-daily-own-limit", "doubao", datetime(2100, 1, 3, 16, tzinfo=UTC)),
        ("AIzaSy-daily-own-limit", "gemini-3-pro-preview", None),
        ("sk-daily-own-limit", "test-model", None),
    ],
)
def test_an_own_credential_that_is_used_up_for_the_day_is_told_when_it_is_not(
    gateway, key, model, reset
):
    answer = gateway.chat(model=model, key=key)
    assert (answer.status_code, answer.json()["error"]["code"]) == (429, "rate_limit_exceeded")
    if reset is None and model.startswith("gemini"):
        now = datetime.now(ZoneInfo("America/Los_Angeles"))
        reset = (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    if reset is None:
        assert int(answer.headers["Retry-After"]) == 3600, "nobody knows"
    else:
        told = int(answer.headers["Retry-After"])
        assert told == pytest.approx(reset.timestamp() - time.time(), abs=10)
