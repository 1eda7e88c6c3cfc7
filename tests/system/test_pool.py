"""The pool as callers meet it: four workers, a real PostgreSQL, a real Redis."""

from __future__ import annotations

import json
import socket
import sys
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Thread
from urllib.parse import urlsplit

import pytest
import requests

from gateway.domain.accounts import Account, Secret
from gateway.storage.db.engine import Database
from gateway.storage.records.accounts import AccountStore
from tests.support.callers import ask, crowd, request_bytes, whole_call
from tests.support.redis import RedisServer
from tests.support.simulators import ENGINE

WORKERS = 4
KNOWN_S = 1.5  # until all workers of a machine know of a cooldown, on a busy one
CHAT = "/v1/chat/completions"
KEY = "a-secret-key-of-32-characters-ok"


@pytest.fixture
def redis(tmp_path):
    with RedisServer.started(tmp_path) as server:
        yield server


def _table(credential, options):
    """An account of the OpenAI-compatible vendor."""
    fields = {"name": credential, "upstream": "openai", "credential": credential, **options}
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in fields.items())


@pytest.fixture
def start(own_factory, postgres):
    """Starts gateways on a database of the test's own."""
    url = postgres.url(postgres.create())

    def starter(accounts, workers=WORKERS, **settings):
        settings = {"OPENAI_MODELS": "test-model", "DATABASE_URL": url} | settings
        text = "\n".join(f"[[accounts]]\n{_table(*account)}" for account in accounts.items())
        return own_factory.started(
            accounts=False, workers=workers, toml=text, GATEWAY_SECRET_KEY=KEY, **settings
        )

    starter.database_url = url
    return starter


def call(gateway, **headers):
    return gateway.chat(model="test-model", headers=headers)


def calls_of(vendors, credentials):
    calls = vendors.ledger(requests_too=False)["calls"]
    return {credential: calls.get(credential, 0) for credential in credentials}


class Watch:
    """Collects when each call arrived at the vendors, of whose list only the end is kept."""

    def __init__(self, vendors):
        self._vendors = vendors
        self._over = Event()
        self._seen = set()
        self._thread = Thread(target=self._look, daemon=True)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over.set()
        self._thread.join()

    def arrivals(self):
        times = defaultdict(list)
        for credential, at in self._seen:
            times[credential].append(at)
        return {credential: sorted(found) for credential, found in times.items()}

    def _look(self):
        while True:
            over = self._over.wait(0.5)
            for found in self._vendors.ledger()["requests"]:
                self._seen.add((found["credential"], found["at"]))
            if over:
                return


@pytest.mark.timeout(900)
def test_a_storm_of_refusals_with_a_worker_and_redis_dying(start, redis, vendors, soak):
    count = 10_000 if soak else 500
    empty = {f"sk-empty4-storm{n}": 4 for n in range(4)}
    dead = "sk-wrong-storm"
    accounts = {name: {"max_in_flight": 1} for name in empty} | {dead: {}}
    healthy = {f"sk-storm{n}-slow10-words3": {"max_in_flight": 6} for n in range(3)}
    accounts |= healthy
    statuses = Counter()

    def one(number):
        if number == count // 3:
            gateway.workers()[0].kill()
            redis.freeze()
        if number == count // 2:
            redis.kill()
        try:
            answer = gateway.chat(model="test-model", stream=True)
        except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):
            return "cut off"
        whole = answer.status_code != 200 or answer.text.endswith("data: [DONE]\n\n")
        return answer.status_code if whole else answer.text[-300:]

    with start(accounts, REDIS_URL=redis.url) as gateway, Watch(vendors) as watch:
        # More callers than places: there is always somebody who waits for one.
        with ThreadPoolExecutor(24) as threads:
            statuses.update(threads.map(one, range(count)))
        ledger = vendors.ledger(requests_too=False)
    arrivals = watch.arrivals()
    # Whoever was on the killed worker is cut off; nobody else is refused anything.
    assert statuses["cut off"] <= 24
    assert set(statuses) <= {200, "cut off"}
    for name, options in accounts.items():
        assert ledger["max_in_flight"][name] <= options.get("max_in_flight", 1)
    assert max(ledger["max_in_flight"][name] for name in healthy) > 1, "calls overlap"
    for name, cooldown_s in empty.items():
        began = arrivals[name][0]
        for arrival in arrivals[name]:
            into_s = arrival - began
            assert into_s < KNOWN_S or into_s > cooldown_s - 0.1, "a known cooldown is kept"
            began = arrival if into_s > cooldown_s - 0.1 else began
    assert arrivals[dead][-1] - arrivals[dead][0] < KNOWN_S, "an ejection is known to all workers"
    refused = sum(len(arrivals[name]) for name in empty)
    sys.stdout.write(f"{count} calls: {dict(statuses)}; {refused} of them met a 429 first\n")


def test_callers_are_told_when_the_soonest_account_is_back(start, vendors):
    with start({"sk-empty90-soonest": {}, "sk-empty40-soonest": {}}, workers=1) as gateway:
        # The cooldown begins between the first question and its answer; each answer tells, in
        # whole seconds, what was left of it at some moment before it was here.
        asked = told = time.monotonic()
        for turn in range(9):
            before = time.monotonic()
            answer = call(gateway)
            after = time.monotonic()
            told = told if turn else after
            assert answer.status_code == 429
            assert answer.json()["error"]["code"] == "no_account_available"
            left_s = int(answer.headers["Retry-After"])
            assert asked + 40 - after - 0.5 <= left_s <= told + 40 - before + 1.5
    assert calls_of(vendors, ["sk-empty90-soonest", "sk-empty40-soonest"]) == {
        "sk-empty90-soonest": 1,
        "sk-empty40-soonest": 1,
    }


def test_a_job_whose_account_is_refused_meanwhile_waits_and_the_account_is_left_alone(
    own_factory, postgres, vendors
):
    dead = "ark-asked-denied-job"
    settings = {"DATABASE_URL": postgres.url(postgres.create()), "GATEWAY_SECRET_KEY": KEY}
    with own_factory.started(accounts=False, workers=2, ARK_API_KEYS=dead, **settings) as gateway:
        order = {"prompt": "waves", "async": True}
        job = gateway.post("/v1/video/generations", order).json()
        vendors.until(lambda ledger: ledger["calls"].get(dead, 0) == 2)
        time.sleep(2)  # in which an unjudged account would be asked again
        assert gateway.get(f"/v1/jobs/{job['id']}").json()["status"] == "in_progress"
        answers = [gateway.chat() for _ in range(4)]
    assert {a.json()["error"]["code"] for a in answers} == {"upstream_auth_failed"}
    assert calls_of(vendors, [dead]) == {dead: 2}, "one order and one question"


def test_a_worker_asks_the_database_for_five_connections_at_most(start, postgres):
    url = postgres.limited(5)
    with (
        start({"sk-five": {"max_in_flight": 40}}, workers=1, DATABASE_URL=url) as gateway,
        ThreadPoolExecutor(20) as threads,
    ):
        answers = threads.map(
            lambda n: call(gateway, **{"Idempotency-Key": f"five-{n}"}), range(80)
        )
        assert Counter(answer.status_code for answer in answers) == {200: 80}
        log = postgres.log()
    assert f'too many connections for role "{urlsplit(url).username}' not in log


def test_cooldowns_and_ejections_survive_a_restart(start, vendors):
    accounts = {"sk-wrong-restart": {}, "sk-empty60-restart": {}}
    for _ in range(2):
        with start(accounts, workers=1) as gateway:
            for _ in range(4):
                assert call(gateway).status_code == 429
    assert set(calls_of(vendors, accounts).values()) == {1}


def test_a_refused_account_is_left_alone_and_never_shown_as_the_callers_fault(start, vendors):
    dead = "sk-denied-lone"
    with start({dead: {}}) as gateway, ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(lambda _: call(gateway), range(20)))
        time.sleep(KNOWN_S)
        calls = calls_of(vendors, [dead])
        answers += threads.map(lambda _: call(gateway), range(40))
    codes = {(a.status_code, a.json()["error"]["code"]) for a in answers}
    assert codes <= {(502, "upstream_auth_failed")}
    assert calls_of(vendors, [dead]) == calls
    assert all(dead not in answer.text for answer in answers)


def stream(gateway):
    """An open stream, by which an account is held."""
    parts = gateway.url.removeprefix("http://").split(":")
    link = socket.create_connection((parts[0], int(parts[1])))
    link.sendall(request_bytes(CHAT, ask("Hi", model="test-model", stream=True)))
    return link


def test_a_hundred_calls_at_an_exhausted_pool_are_all_answered_in_time(start, vendors):
    name = "sk-hang-exhausted"
    with start({name: {"max_in_flight": 1}}) as gateway:
        held = stream(gateway)
        vendors.until(lambda ledger: ledger["in_flight"].get(name) == 1)

        def one(_):
            began = time.monotonic()
            answer = call(gateway)
            return answer.status_code, answer.headers.get("Retry-After"), time.monotonic() - began

        with ThreadPoolExecutor(100) as threads:
            answers = list(threads.map(one, range(100)))
        held.close()
    assert {(status, after) for status, after, _ in answers} == {(429, "1")}
    slowest = max(seconds for _, _, seconds in answers)
    assert slowest < 20
    sys.stdout.write(
        f"100 calls at an exhausted pool, the slowest answered after {slowest:.1f} s\n"
    )


def test_a_caller_that_leaves_the_queue_gives_its_place_up(start, vendors):
    name = "sk-gated-line"
    with start({name: {"max_in_flight": 1}}, workers=1) as gateway:
        first = stream(gateway)
        vendors.until(lambda ledger: ledger["in_flight"].get(name) == 1)
        leaving = [stream(gateway) for _ in range(5)]
        time.sleep(0.3)
        for link in leaving:
            link.close()
        first.close()
        vendors.until(lambda ledger: not ledger["in_flight"].get(name))
        vendors.release(name, 1000)
        assert call(gateway).status_code == 200
    assert calls_of(vendors, [name]) == {name: 2}


def test_accounts_come_and_go_by_command_in_all_workers(start, vendors):
    database = Database(start.database_url)
    store = AccountStore(database, secret_keys=[Secret(KEY)])
    with start({"ark-other": {"upstream": "ark"}}) as gateway:
        assert call(gateway).status_code == 404
        store.add(Account("added", "openai", Secret("sk-added-by-command")))
        _settle(lambda: call(gateway).status_code, 200)
        store.set_status("added", "disabled")
        _settle(lambda: call(gateway).status_code, 404)
    database.close()


def _settle(look, wanted, *, times=4 * WORKERS, within_s=10):
    """Wait until many answers in a row, of all workers by all odds, are the wanted one."""
    deadline = time.monotonic() + within_s
    in_a_row = 0
    while in_a_row < times:
        in_a_row = in_a_row + 1 if look() == wanted else 0
        assert time.monotonic() < deadline


def test_the_limit_on_an_account_holds_over_all_workers(start, redis, vendors):
    accounts = {"sk-limited": {"limits.chat": "10/hour"}, "sk-spare": {}}
    with start(accounts, REDIS_URL=redis.url) as gateway, ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: call(gateway).status_code, range(60)))
    assert set(answers) == {200}
    assert calls_of(vendors, accounts) == {"sk-limited": 10, "sk-spare": 50}


@pytest.mark.parametrize("shared", [False, True], ids=["machine", "redis"])
def test_the_limit_on_an_account_counts_pictures_not_requests(start, redis, vendors, shared):
    key = f"ark-five-{shared}"
    options = {"REDIS_URL": redis.url} if shared else {}
    with start({key: {"upstream": "ark", "limits.image": "5/day"}}, **options) as gateway:
        answers = [
            gateway.post("/v1/images/generations", {"prompt": "a cat", "n": n}) for n in (4, 4, 1)
        ]
    assert [answer.status_code for answer in answers] == [200, 429, 200]
    assert answers[1].json()["error"]["code"] == "no_account_available"
    # Half of the day before has to pass once the day that counts, by UTC, has ended.
    assert 43_000 < int(answers[1].headers["Retry-After"]) < 130_000
    assert calls_of(vendors, [key]) == {key: 5}


@pytest.mark.timeout(300)
def test_many_calls_that_need_a_google_token_at_once_fetch_one_per_worker(start, vendors, soak):
    count = 1000 if soak else 60
    account = vendors.service_account("pool@google.test")
    settings = {"GEMINI_ENTERPRISE_ENGINE": ENGINE, "GEMINI_ENTERPRISE_CREDENTIALS": account}
    request = request_bytes(CHAT, ask("Hi", model="gemini-enterprise", stream=True))
    before = vendors.ledger(requests_too=False)["tokens"]
    with start({}, **settings) as gateway:
        answers = crowd(count, count, lambda _: whole_call(gateway.url, request))
    assert [answer for answer in answers if b"[DONE]" not in answer] == []
    assert 1 <= vendors.ledger(requests_too=False)["tokens"] - before <= WORKERS
