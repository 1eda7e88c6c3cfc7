"""Vendor sessions: none outlives its request, whatever happens to it."""

from __future__ import annotations

import random
import signal
import socket
import time

import psutil
import pytest
import requests

from tests.server.serving import report, until
from tests.support.callers import ask, crowd, cut_call, request_bytes, whole_call
from tests.support.faults import Fault, FaultProxy
from tests.support.simulators import ENGINE

CHAT = "/v1/chat/completions"
REAPED_S = 60


MODELS = """
[[accounts]]
name = "slow"
upstream = "gemini-enterprise"
credential = "env:SLOW"
models = ["slow"]

[[accounts]]
name = "silent"
upstream = "gemini-enterprise"
credential = "env:SILENT"
models = ["silent"]

[models."slow"]
kind = "chat"
routes = [{ upstream = "gemini-enterprise", model = "gemini-enterprise" }]

[models."silent"]
kind = "chat"
routes = [{ upstream = "gemini-enterprise", model = "gemini-enterprise" }]
"""


@pytest.fixture(scope="module")
def proxy(vendors):
    with FaultProxy.started(vendors.url, mark=r"cut-\w+-") as running:
        yield running


@pytest.fixture(scope="module")
def site(own_factory, vendors, proxy):
    with own_factory.started(
        app="tests.support.probe:app",
        toml=MODELS,
        GEMINI_ENTERPRISE_BASE_URL=f"{proxy.url}/gemini-enterprise",
        GEMINI_ENTERPRISE_CREDENTIALS="",
        SLOW=vendors.service_account("pool-slow100-words15-streams@x.test"),
        SILENT=vendors.service_account("pool-hang-calls@x.test"),
    ) as running:
        yield running


def pool_of(vendors, name):
    return {"GEMINI_ENTERPRISE_CREDENTIALS": vendors.service_account(f"{name}@x.test")}


def sessions(vendors):
    return vendors.ledger(requests_too=False)["sessions"]


def nothing_left(ledger):
    return not ledger["sessions"]["open"] and not ledger["streams"]["open"]


def p99(values):
    return sorted(values)[int(len(values) * 0.99)]


def held(gateway, workers=2):
    """What each worker holds."""
    found = {}
    while len(found) < workers:
        answer = gateway.get("/_probe", headers={"Connection": "close"}).json()
        found[answer["pid"]] = (answer["greenlets"], answer["files"])
    return found


@pytest.mark.parametrize(
    ("stream", "model", "limit_s"),
    [(True, "slow", 2), (False, "silent", 1)],
    ids=["streams", "waiting-calls"],
)
@pytest.mark.timeout(900)
def test_callers_that_leave_leave_nothing_behind(
    site, vendors, proxy, soak, stream, model, limit_s
):
    count = 1000 if soak else 60
    early = request_bytes(CHAT, ask("Hello", model=model, stream=stream))
    crowd(4, 4, lambda _: cut_call(site.url, early, 2.0, reset=False))  # what is made once is made
    vendors.until(nothing_left, within_s=30)
    before = held(site)
    left_at: dict[str, float] = {}

    async def call(number):
        tag = f"cut-{model}{number}-"
        body = ask(f"{tag} tell me something", model=model, stream=stream)
        cut = await cut_call(
            site.url, request_bytes(CHAT, body), random.uniform(0.02, 1.8), reset=number % 2 == 0
        )
        if cut:
            left_at[tag] = time.monotonic()
        return cut

    cut = sum(crowd(count, 50, call))
    assert cut > count / 2
    vendors.until(nothing_left, within_s=30)
    closed_after = [
        connection.client_left_at - left_at[tag]
        for connection in proxy.connections
        for tag in connection.tags
        if tag in left_at and connection.client_left_at is not None
    ]
    assert closed_after
    assert p99(closed_after) < limit_s * (1 if soak else 2)
    report(
        f"{cut} of {count} {'streams' if stream else 'waiting calls'} cut: vendor's connection "
        f"closed after {p99(closed_after):.2f} s at the 99th percentile, "
        f"{max(closed_after):.2f} s at most"
    )
    until(lambda: grown(before, held(site)) == (0, 0), within_s=30)


def grown(before, after):
    """By how many greenlets and open files the workers have more than before.

    Connections to the vendor that are kept for the next request are no leak.
    """
    kept = sum(
        connection.laddr.port != 0 and connection.status == psutil.CONN_ESTABLISHED
        for pid in after
        for connection in psutil.Process(pid).net_connections()
    )
    greenlets = sum(after[pid][0] - before[pid][0] for pid in after)
    files = sum(after[pid][1] - before[pid][1] for pid in after)
    return max(0, greenlets), max(0, files - kept - 8)


def test_a_session_whose_name_never_arrived_is_found_by_its_label(own_factory, vendors):
    swallowed = Fault("silence")
    with (
        FaultProxy.started(vendors.url, lambda n: swallowed if n == 0 else Fault()) as proxy,
        own_factory.started(
            workers=1,
            GEMINI_ENTERPRISE_BASE_URL=f"{proxy.url}/gemini-enterprise",
            **pool_of(vendors, "pool-nameless"),
        ) as gateway,
    ):
        made = sessions(vendors)["created"]
        with socket.create_connection(("127.0.0.1", int(gateway.url.rpartition(":")[2]))) as caller:
            body = ask("Hello there", model="gemini-enterprise", stream=True)
            caller.sendall(request_bytes(CHAT, body))
            vendors.until(lambda ledger: ledger["sessions"]["created"] > made)
        vendors.until(nothing_left, within_s=REAPED_S)


@pytest.mark.timeout(900)
def test_sessions_of_killed_workers_are_reaped(own_factory, vendors, soak):
    """Also where all workers are copies of a process that had loaded the app before."""
    kills = 100 if soak else 2
    own = "ya29.slow200-words60-own-killed"
    with own_factory.started(
        GUNICORN_CMD_ARGS="--preload", **pool_of(vendors, "pool-slow100-words30-killed")
    ) as gateway:

        def stream(number, key=None):
            body = ask(f"Tell me of {number}", model="gemini-enterprise", stream=True)
            return whole_call(gateway.url, request_bytes(CHAT, body, key=key))

        async def killed(number):
            import asyncio

            calls = [asyncio.ensure_future(stream(f"{number}.{n}")) for n in range(4)]
            if number == 0:
                calls += [asyncio.ensure_future(stream("own", own)) for _ in range(4)]
                await asyncio.sleep(1.0)
            await asyncio.sleep(random.uniform(0.05, 1.2))
            workers = await asyncio.to_thread(gateway.workers)
            random.choice(workers).send_signal(signal.SIGKILL)
            await asyncio.gather(*calls, return_exceptions=True)

        crowd(kills, 1, killed)
        pooled = vendors.until(
            lambda ledger: len(open_of(vendors, ledger, own)) == ledger["sessions"]["open"],
            within_s=REAPED_S,
        )
        report(f"{kills} workers killed, {pooled['sessions']['created']} sessions made, none left")
        assert own not in gateway.log.read_text()
        remove_all(vendors, own)  # which only its owner can


def open_of(vendors, ledger, credential):
    """The names of the open sessions that belong to one credential."""
    url = f"{vendors.url}/gemini-enterprise/v1alpha/{ENGINE}/sessions"
    found = requests.get(url, headers=bearer(credential), timeout=10).json().get("sessions", ())
    return [session["name"] for session in found]


def remove_all(vendors, credential):
    for name in open_of(vendors, {}, credential):
        url = f"{vendors.url}/gemini-enterprise/v1alpha/{name}"
        requests.delete(url, headers=bearer(credential), timeout=10)


def bearer(credential):
    return {"Authorization": f"Bearer {credential}", "X-Goog-User-Project": "test"}


def test_a_session_that_is_to_stay_stays(site, vendors):
    key = "ya29.kept-session"
    answer = site.chat("Hello there", model="gemini-enterprise", key=key, auto_delete=False)
    assert answer.status_code == 200
    (name,) = open_of(vendors, {}, key)
    assert site.chat("And again", model="gemini-enterprise", key=key).status_code == 200
    assert open_of(vendors, {}, key) == [name]
    remove_all(vendors, key)
