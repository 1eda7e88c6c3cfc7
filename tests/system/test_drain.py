"""Processes that end and clocks that jump, in the middle of everything."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests

from tests.server.serving import Client, report, until
from tests.support.callers import ask, crowd, request_bytes, whole_call
from tests.support.shell import QuickShell

CHAT, VIDEO, IMAGES = "/v1/chat/completions", "/v1/video/generations", "/v1/images/generations"
JOBS = "/v1/jobs"
ASYNC = {"Prefer": "respond-async"}


def last_event(answer):
    events = [line for line in answer.split(b"\n") if line.startswith(b"data: ")]
    return events[-1].removeprefix(b"data: ") if events else b""


@pytest.mark.timeout(300)
def test_streams_of_a_draining_server_end_with_an_event_and_their_sessions_are_deleted(
    own_factory, vendors, soak
):
    """Every process gets the signal twice, as on Heroku."""
    count = 200 if soak else 40
    account = vendors.service_account("pool-endless-slow500-drained@x.test")
    with own_factory.started(GEMINI_ENTERPRISE_CREDENTIALS=account) as gateway:
        left_after: list[float] = []

        def end():
            vendors.until(lambda ledger: ledger["streams"]["open"] == count, within_s=60)
            processes = [*gateway.workers(), gateway.process]
            began = time.monotonic()
            for _ in range(2):
                for process in processes:
                    process.send_signal(signal.SIGTERM)
            gateway.process.wait(40)
            left_after.append(time.monotonic() - began)

        ender = threading.Thread(target=end)
        ender.start()

        async def call(number):
            body = ask(f"Number {number}", model="gemini-enterprise", stream=True)
            return await whole_call(gateway.url, request_bytes(CHAT, body))

        answers = crowd(count, count, call)
        ender.join()
    for answer in answers:
        assert json.loads(last_event(answer))["error"]["code"] == "shutting_down"
        assert b"[DONE]" not in answer
        assert answer.endswith(b"0\r\n\r\n")
    vendors.until(lambda ledger: not ledger["sessions"]["open"], within_s=1)
    assert left_after[0] <= 25
    report(
        f"SIGTERM to all processes with {count} streams: all ended with an event, 0 sessions "
        f"left, exit after {left_after[0]:.1f} s"
    )


def test_what_a_drain_interrupts_is_told_how_to_go_on(own_factory):
    """Also where nothing but comments has been sent, and where a picture takes too long."""
    painter = "ark-long40-interrupted"
    with (
        own_factory.started(workers=1, GATEWAY_HOLD_S="8", GATEWAY_HEARTBEAT_S="1") as gateway,
        ThreadPoolExecutor(1) as threads,
        client_of(gateway) as painting,
        client_of(gateway) as chatting,
    ):
        waited = threads.submit(gateway.post, IMAGES, {"prompt": "a cat"}, key=painter)
        order = {"prompt": "a dog", "stream": True}
        painting.send(request_bytes(IMAGES, order, key=painter))
        question = ask("Hello", model="doubao", stream=True)
        chatting.send(request_bytes(CHAT, question, key="ark-hang-interrupted"))
        streamed = painting.head()[1]["x-gateway-job"]
        chatting.head()
        assert gateway.chat().status_code == 200
        gateway.process.send_signal(signal.SIGQUIT)
        last = [last_event(rest_of(client)) for client in (painting, chatting)]
        job = waited.result().headers["X-Gateway-Job"]
        gateway.process.wait(25)
        used = QuickShell(gateway.directory, {}).json("usage", "--since", "1h")
    assert waited.result().status_code == 503
    assert f"{JOBS}/{job}" in waited.result().json()["error"]["message"]
    ends = [json.loads(event)["error"] for event in last]
    assert [end["code"] for end in ends] == ["shutting_down"] * 2
    assert f"{JOBS}/{streamed}" in ends[0]["message"]
    assert [row["requests"] for row in used if row["key"] == "(no key)"] == [1]


def client_of(gateway):
    return Client(int(gateway.url.rpartition(":")[2]))


def rest_of(client):
    return b"".join(iter(client.chunk, b""))


def test_a_picture_in_flight_is_seen_through(own_factory, vendors, tmp_path):
    shared = {
        "DATABASE_URL": f"sqlite:///{tmp_path}/gateway.db",
        "GATEWAY_MEDIA": f"file:{tmp_path}/media",
        "GATEWAY_SECRET_KEY": "the same after the restart",
        "ARK_API_KEYS": "ark-long3-in-flight",
    }
    with own_factory.started(workers=1, **shared) as gateway:
        job = gateway.post(IMAGES, {"prompt": "a cat"}, headers=ASYNC).json()
        until(lambda: vendors.operations("ark-long3-in-flight").get("ark.images"))
        gateway.process.send_signal(signal.SIGTERM)
        assert gateway.process.wait(25) == 0
    with own_factory.started(workers=1, **shared) as gateway:
        found = gateway.get(f"{JOBS}/{job['id']}").json()
        assert (found["status"], found["error"]) == ("completed", None)
    assert vendors.operations("ark-long3-in-flight")["ark.images"] == 1


@pytest.mark.timeout(900)
def test_rolling_restarts_under_load_refuse_nothing(own_factory, vendors, soak):
    restarts = 10 if soak else 2
    with own_factory.started() as gateway, ThreadPoolExecutor(8) as threads:
        done = threading.Event()
        seen: Counter[object] = Counter()
        lock = threading.Lock()

        def short_calls(number):
            while not done.is_set():
                with requests.Session() as session:
                    for _ in range(5):
                        try:
                            answer = session.post(
                                gateway.url + CHAT,
                                json=ask("Hello", model="doubao", stream=False),
                                timeout=30,
                            )
                            result: object = answer.status_code
                        except requests.RequestException as err:
                            result = type(err).__name__
                        with lock:
                            seen[result] += 1

        def films(number):
            made = []
            while not done.is_set():
                answer = requests.post(
                    gateway.url + VIDEO,
                    json={"prompt": f"film {number} {len(made)}"},
                    headers=ASYNC,
                    timeout=30,
                )
                assert answer.status_code == 202, answer.text
                made.append(answer.json()["id"])
                time.sleep(0.5)
            return made

        loads = [threads.submit(short_calls, number) for number in range(6)]
        filming = threads.submit(films, 1)
        for _ in range(restarts):
            before = {worker.pid for worker in gateway.workers()}
            gateway.process.send_signal(signal.SIGHUP)
            until(lambda old=before: not old & {w.pid for w in gateway.workers()}, within_s=60)
            until(lambda: len(gateway.workers()) == 2)
            time.sleep(0.5)
        done.set()
        for load in loads:
            load.result()
        for job_id in filming.result():
            until(lambda job=job_id: status(gateway, job) == "completed", within_s=60)
        assert vendors.operations("ark-pool")["ark.videos.create"] == len(filming.result())
    assert set(seen) == {200}, seen
    report(
        f"{restarts} rolling restarts under load: {seen[200]} short calls, all 200; no film lost"
    )


def status(gateway, job_id):
    found = gateway.get(f"{JOBS}/{job_id}").json()
    assert not found.get("error"), found
    return found["status"]


# -- the clock -------------------------------------------------------------------------

LIBRARY = "/usr/lib/*/faketime/libfaketime.so.1"


@pytest.fixture
def clock(tmp_path):
    """Settings that make a gateway's clock follow a file, and what moves it."""
    found = sorted(Path("/").glob(LIBRARY.lstrip("/")))
    assert found, "libfaketime is missing; on Debian: apt-get install faketime"
    file = tmp_path / "clock"

    def move(offset):
        fresh = tmp_path / "clock.new"
        fresh.write_text(offset)
        fresh.rename(file)

    move("+0")
    settings = {
        "LD_PRELOAD": str(found[0]),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_FORCE_MONOTONIC_FIX": "0",
    }
    return settings, move


@pytest.mark.timeout(180)
def test_a_clock_that_jumps_leaves_nothing_stuck_and_takes_nothing_away(
    own_factory, vendors, soak, clock
):
    settings, move = clock
    key = "ark-pool-video3-clock"
    jumps = ("-3600", "+3600") if soak else ("-3600",)
    account = vendors.service_account("pool-slow200-words30-clock@x.test")
    with own_factory.started(
        ARK_API_KEYS=key, GEMINI_ENTERPRISE_CREDENTIALS=account, **settings
    ) as gateway:
        for jump in jumps:
            jobs = [ordered(gateway, f"{number} before {jump}") for number in range(2)]
            # Not before the vendor's names of them are known: until then nobody may go on.
            for job_id in jobs:
                until(lambda job=job_id: gateway.get(f"{JOBS}/{job}").json()["progress"])
            for worker in gateway.workers():
                worker.send_signal(signal.SIGKILL)
            move(jump)
            began = time.monotonic()
            until(lambda: answers(gateway))
            assert gateway.chat().status_code == 200
            jobs.append(ordered(gateway, f"after {jump}"))
            for job_id in jobs:
                until(lambda job=job_id: status(gateway, job) == "completed", within_s=60)
            took_s = time.monotonic() - began
            picture = gateway.post(IMAGES, {"prompt": "a cat"}, key="ark-clock").json()
            assert requests.get(picture["data"][0]["url"], timeout=10).status_code == 200
            report(
                f"clock moved to {jump} s with all workers killed: all films there after "
                f"{took_s:.0f} s"
            )
        move("+0")  # Google gives no token to a clock that is ahead
        undisturbed(gateway, vendors, lambda: move("+7200"))
    assert vendors.operations(key)["ark.videos.create"] == 3 * len(jumps)


def undisturbed(gateway, vendors, jump):
    """What is held while the clock jumps ahead stays its holder's: a picture, a session."""
    painter = "ark-long5-held"
    with ThreadPoolExecutor(2) as threads:
        told = threads.submit(
            gateway.chat, "Tell me of time", model="gemini-enterprise", stream=True
        )
        painted = threads.submit(gateway.post, IMAGES, {"prompt": "a cat"}, key=painter)
        vendors.until(lambda ledger: ledger["streams"]["open"])
        until(lambda: vendors.operations(painter).get("ark.images"))
        jump()
        assert told.result().text.endswith("data: [DONE]\n\n")
        assert painted.result().status_code == 200, painted.result().text
    assert vendors.operations(painter)["ark.images"] == 1


def ordered(gateway, prompt):
    answer = gateway.post(VIDEO, {"prompt": prompt}, headers=ASYNC)
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


def answers(gateway):
    try:
        return gateway.get("/health", timeout=2).ok
    except requests.RequestException:
        return False
