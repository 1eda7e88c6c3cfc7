"""What operators see: counts over all workers, with labels that callers cannot add to."""

from __future__ import annotations

import os
import re
import signal
import time
from contextlib import suppress

import psutil
import pytest
import requests

KEY = "metrics-key-0123456789"
_COUNTER = re.compile(r"_(total|bucket|count|sum)$")
_LINE = re.compile(r"^([a-z_]+)(?:\{(.*)\})? (\S+)$")


@pytest.fixture(scope="module")
def measured(gateway_factory):
    with gateway_factory.started(workers=2, GATEWAY_KEYS=f"ops={KEY}") as running:
        yield running


def samples(gateway):
    """Name and labels -> value, the labels as they are written."""
    answer = gateway.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    found = {}
    for line in answer.text.splitlines():
        if not line.startswith("#"):
            name, labels, value = _LINE.match(line).groups()
            found[name, labels or ""] = float(value)
    return found


def total(gateway, name, *labels):
    """The sum over all series of a name that have the labels."""
    return sum(
        value
        for (found, said), value in samples(gateway).items()
        if found == name and all(label in said for label in labels)
    )


def until(condition, within_s=15):
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_requests_of_all_workers_are_counted_by_route_status_and_model(measured):
    labels = ('route="chat.create_completion"', 'status="200"', 'model="doubao"', 'kind="chat"')
    before = total(measured, "gateway_requests_total", *labels)
    for _ in range(12):
        assert measured.chat().status_code == 200
    until(lambda: total(measured, "gateway_requests_total", *labels) == before + 12)
    assert total(measured, "gateway_tokens_total", 'model="doubao"', 'counted_by="vendor"') > 0
    spent = ("gateway_request_seconds_bucket", 'le="+Inf",route="chat.create_completion"')
    until(lambda: samples(measured)[spent] >= 12)
    until(lambda: samples(measured)["gateway_workers", ""] == 2)
    seen = samples(measured)
    assert seen["gateway_database_up", ""] == 1
    assert seen["gateway_accounts", 'state="ready",upstream="ark"'] == 1
    assert seen["gateway_sessions_open", ""] == 0
    assert seen["gateway_loop_lag_seconds", ""] < 30


def test_no_counter_falls_whichever_worker_is_asked(measured):
    last = {}
    for _ in range(20):
        measured.chat()
        seen = samples(measured)
        assert {name: was for name, was in last.items() if seen.get(name, -1) < was} == {}
        last = {name: value for name, value in seen.items() if _COUNTER.search(name[0])}


def test_errors_are_counted_by_code(measured):
    measured.chat(model="no-such-model")
    measured.get("/v1/models", key="gw-unknown-key")
    measured.get("/nowhere")
    for code in ("model_not_found", "invalid_api_key", "not_found"):
        until(lambda code=code: total(measured, "gateway_errors_total", f'code="{code}"') >= 1)
    until(lambda: total(measured, "gateway_requests_total", 'route="none"', 'status="404"') >= 1)


def test_invented_models_make_no_series(measured):
    def ask(number):
        measured.chat(model=f"doubao-invented-{number}", key=f"ark-wrong-{number % 3}")
        measured.chat(model=f"invented-{number}")

    ask(0)
    time.sleep(2.5)
    before = len(samples(measured))
    for number in range(1, 25):
        ask(number)
    time.sleep(2.5)
    after = samples(measured)
    assert len(after) <= before + 20  # buckets and routes that were new, whatever was asked
    assert not [labels for _, labels in after if "invented" in labels]
    assert total(measured, "gateway_requests_total", 'model="other"') >= 25


def test_pictures_videos_and_jobs_are_counted_once(measured):
    done = measured.post("/v1/images/generations", {"prompt": "a cat"}, key=KEY)
    assert done.status_code == 200
    job = measured.post(
        "/v1/video/generations",
        {"prompt": "waves"},
        key=KEY,
        headers={"Prefer": "respond-async"},
    ).json()
    until(
        lambda: measured.get(f"/v1/jobs/{job['id']}", key=KEY).json()["status"] == "completed", 60
    )
    until(lambda: total(measured, "gateway_media_total", 'kind="image"') == 1)
    until(lambda: total(measured, "gateway_media_total", 'kind="video"') == 1)
    until(lambda: total(measured, "gateway_jobs_total", 'status="completed"') == 2)
    assert total(measured, "gateway_jobs_unfinished") == 0


def test_requests_in_flight_are_counted_until_their_readers_leave(measured, simulators):
    key = "ark-gated-in-flight"
    with measured.post(
        "/v1/chat/completions",
        {"model": "doubao", "stream": True, "messages": [{"role": "user", "content": "Hello"}]},
        key=key,
        stream=True,
    ) as answer:
        simulators.release(key)
        pieces = answer.iter_content(64)
        next(pieces)
        until(lambda: samples(measured)["gateway_requests_in_flight", ""] == 2)  # and the asking
    until(lambda: samples(measured)["gateway_requests_in_flight", ""] == 1)
    gone = ('route="chat.create_completion"', 'status="499"')
    until(lambda: total(measured, "gateway_requests_total", *gone) == 1)

    with suppress(requests.Timeout):  # leaves before there is an answer
        measured.post(
            "/v1/chat/completions",
            {"model": "doubao", "messages": [{"role": "user", "content": "Hello"}]},
            key="ark-hang-in-flight",
            timeout=0.5,
        )
    until(lambda: total(measured, "gateway_requests_total", *gone) == 2)
    until(lambda: samples(measured)["gateway_requests_in_flight", ""] == 1)


def test_what_a_killed_worker_has_counted_stays(gateway_factory):
    with gateway_factory.started(workers=2) as gateway:
        for _ in range(10):
            gateway.chat()

        def counted():
            return total(gateway, "gateway_requests_total", 'model="doubao"')

        until(lambda: counted() == 10)
        time.sleep(2.5)  # by now every worker has left word
        victim = psutil.Process(gateway.process.pid).children()[0]
        os.kill(victim.pid, signal.SIGKILL)
        until(lambda: not victim.is_running() or victim.status() == psutil.STATUS_ZOMBIE)
        assert counted() == 10
        until(lambda: samples(gateway)["gateway_workers", ""] == 2)  # and not three


def test_metrics_can_be_switched_off(gateway_factory):
    with gateway_factory.started(workers=1, GATEWAY_METRICS="off") as gateway:
        assert gateway.get("/metrics").status_code == 404


def test_the_log_names_the_address_once(gateway):
    (line,) = [line for line in gateway.log.read_text().splitlines() if "Listening at" in line]
    assert line.count(gateway.url) == line.count("http://") == 1
