"""Vendor sessions: none outlives its request, whatever happens to it."""

from __future__ import annotations

import random
import signal
import socket
import time
from contextlib import ExitStack, closing
from dataclasses import replace

import psutil
import pytest
import requests

from gateway.domain.accounts import Account, Secret
from gateway.domain.errors import UpstreamError
from gateway.net.fetch.fetcher import Fetcher
from gateway.net.http.client import Http
from gateway.services.sessions.sessions import Sessions
from gateway.storage.db.engine import Database
from gateway.storage.records.journal import SessionJournalStore
from gateway.upstreams.registry import VENDORS
from tests.server.serving import report, until
from tests.support.callers import ask, crowd, cut_call, request_bytes, whole_call
from tests.support.faults import Fault, FaultProxy
from tests.support.simulators import ENGINE

CHAT = "/v1/chat/completions"
SWEPT_S = 45  # a lease lapses after 12 s, and is looked for every 5


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
        vendors.until(nothing_left, within_s=SWEPT_S)


@pytest.mark.timeout(900)
def test_sessions_of_killed_workers_are_swept(own_factory, vendors, soak):
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
            within_s=SWEPT_S,
        )
        report(f"{kills} workers killed, {pooled['sessions']['created']} sessions made, none left")
        if leaked := open_of(vendors, pooled, own):
            until(lambda: len(gateway.events("session_leaked")) == len(leaked), within_s=SWEPT_S)
            assert own not in gateway.log.read_text()
            assert {e["session"] for e in gateway.events("session_leaked")} == set(leaked)
        remove_all(vendors, own)


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


# -- the journal by itself, with a vendor on a real socket ------------------------------


class Accounts:
    """A pool of accounts, as far as sessions ask for it."""

    def __init__(self, *accounts):
        self._accounts = {account.name: account for account in accounts}

    def get(self, name):
        return self._accounts.get(name)

    def snapshot(self):
        return list(self._accounts.values())


@pytest.fixture
def enterprise(vendors):
    spec = VENDORS["gemini-enterprise"]
    return spec.load()(
        spec,
        Http(),
        Fetcher(allow_private="127.0.0.1"),
        base_url=vendors.url + spec.simulator_path,
        engine=ENGINE,
    )


@pytest.fixture
def journal(tmp_path):
    """Makes the sessions of a process that has a database of its own."""
    with ExitStack() as opened:

        def make(name, *accounts, upstream, **options):
            database = opened.enter_context(closing(Database(f"sqlite:///{tmp_path}/{name}.db")))
            database.migrate()
            store = SessionJournalStore(database)
            return Sessions(store, Accounts(*accounts), lambda _: upstream, **options), store

        yield make


def account(name):
    return Account(name, "gemini-enterprise", Secret(f"ya29.{name}"))


def at_vendor(upstream, who):
    return set(upstream.session_labels(who, "gw-"))


def test_sessions_nobody_knows_are_deleted_but_never_those_of_others(journal, enterprise):
    upstream = enterprise
    who = account("strays")
    ours, store = journal("ours", who, upstream=upstream, stray_s=0)
    theirs, _ = journal("theirs", who, upstream=upstream, stray_s=0)
    client = upstream._client(who)
    client.create_session(f"{ours.mark()}lost")
    client.create_session("a session of somebody's own")
    with (
        theirs.session(who, create=client.create_session, delete=client.delete_session),
        ours.session(who, create=client.create_session, delete=client.delete_session),
    ):
        assert len(at_vendor(upstream, who)) == 3
        assert ours.reconcile() == 1
        assert theirs.reconcile() == 0
        assert len(at_vendor(upstream, who)) == 2
    assert at_vendor(upstream, who) == set()
    assert store.counts().open == 0
    for name in client.sessions_with("a session of somebody's own"):
        client.delete_session(name)


def test_a_deletion_that_fails_is_tried_again_by_the_sweeper(journal, enterprise):
    upstream = enterprise
    who = account("undeleted")
    ours, store = journal("ours", who, upstream=upstream)
    client = upstream._client(who)

    def refuse(name):
        raise UpstreamError("The vendor is away.")

    with ours.session(who, create=client.create_session, delete=refuse):
        pass
    assert store.counts().failing == 1
    assert ours.sweep() == 1
    assert at_vendor(upstream, who) == set()
    assert store.counts().failing == 0


def test_an_own_session_that_cannot_be_deleted_waits_for_its_process(journal, enterprise):
    upstream = enterprise
    who = replace(account("own-undeleted"), name="own", own=True)
    ours, store = journal("ours", upstream=upstream)
    other, _ = journal("ours", upstream=upstream)
    client = upstream._client(who)

    def refuse(name):
        raise UpstreamError("The vendor is away.")

    with ours.session(who, create=client.create_session, delete=refuse):
        pass
    assert other.sweep() == 0
    assert store.counts().open == 1
    ours.sweep()
    assert at_vendor(upstream, who) == set()
    assert store.counts() == replace(store.counts(), open=0, lapsed=0, failing=0)


def undeleted_own(ours, client, credential):
    who = replace(account(credential), name="own", own=True)

    def refuse(name):
        raise UpstreamError("The vendor is away.")

    with ours.session(who, create=client.create_session, delete=refuse):
        pass


def delete_all(upstream, ours):
    who = account("own-good")
    (label,) = upstream.session_labels(who, ours.mark())
    assert upstream.sweep_sessions(who, label) == 1


def test_an_own_session_is_given_up_once_its_credential_is_refused(journal, enterprise):
    ours, store = journal("ours", upstream=enterprise)
    client = enterprise._client(account("own-good"))
    undeleted_own(ours, client, "own-wrong")
    assert (ours.sweep(), ours.leaked, store.counts().open) == (1, 1, 0)
    delete_all(enterprise, ours)


def test_an_own_session_is_tried_less_and_less_often_and_not_for_ever(journal, enterprise):
    class Clock:
        now = 0.0

        def __call__(self):
            return self.now

    class Away:
        def __init__(self):
            self.asked_at = []

        def sweep_sessions(self, who, label):
            self.asked_at.append(clock.now)
            raise UpstreamError("The vendor is away.")

    clock, away = Clock(), Away()
    ours, store = journal("ours", upstream=away, clock=clock)
    client = enterprise._client(account("own-good"))
    undeleted_own(ours, client, "own-away")
    while not ours.leaked:
        ours.sweep()
        clock.now += 1 if clock.now < 60 else 30
    assert away.asked_at[:5] == [0, 2, 7, 22, 52]
    assert 3600 < away.asked_at[-1] < 7200
    assert store.counts().open == 0
    delete_all(enterprise, ours)
