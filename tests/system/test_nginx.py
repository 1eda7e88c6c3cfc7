"""The gateway behind nginx: as shipped, and as it comes, before and after its new defaults."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import ExitStack
from threading import Event, Thread

import openai
import pytest
import requests

from tests.server.serving import Client
from tests.support.callers import ask, request_bytes
from tests.support.nginx import SITES, nginx
from tests.support.process import free_port

CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def site(own_factory):
    settings = {"GATEWAY_HOLD_S": "1", "GATEWAY_HEARTBEAT_S": "0.6"}
    with own_factory.started(GATEWAY_TRUSTED_PROXIES="1", **settings) as running:
        yield running


@pytest.fixture(scope="module", params=SITES)
def edge(request, site, tmp_path_factory):
    port = int(site.url.rpartition(":")[2])
    with nginx(request.param, port, tmp_path_factory.mktemp("nginx")) as url:
        yield url


def post(edge, body, key):
    headers = {"Authorization": f"Bearer {key}"}
    return requests.post(edge + CHAT, json=body, headers=headers, timeout=30, stream=True)


def test_events_pass_one_by_one(edge, vendors):
    key = f"ark-gated-{edge.rpartition(':')[2]}"
    with post(edge, ask("Hello", model="doubao", stream=True), key) as answer:
        lines = (line for line in answer.iter_lines() if line.startswith(b"data: {"))
        for _ in range(3):
            vendors.release(key)
            assert b"content" in next(lines)
        vendors.release(key, 1000)
        assert list(lines)


def test_a_slow_answer_is_waited_for(edge):
    answer = post(edge, ask("Hello", model="doubao", stream=False), "ark-long3-waited")
    assert answer.status_code == 200
    assert answer.json()["choices"][0]["message"]["content"]


def test_a_broken_stream_is_an_error_in_the_sdk(edge):
    for key in ("ark-cut2", "ark-ended2"):
        with openai.OpenAI(base_url=f"{edge}/v1", api_key=key, max_retries=0) as client:
            stream = client.chat.completions.create(**ask("Hello", model="doubao", stream=True))
            with pytest.raises(openai.APIError):
                list(stream)


def test_a_caller_that_leaves_ends_the_stream_at_the_vendor(edge, vendors):
    with Client(int(edge.rpartition(":")[2])) as client:
        body = ask("Hello", model="doubao", stream=True)
        client.send(request_bytes(CHAT, body, key="ark-endless-slow50"))
        client.read_until(b"data: {")
        vendors.until(lambda ledger: ledger["streams"]["open"])
    vendors.until(lambda ledger: not ledger["streams"]["open"], within_s=5)


def test_many_short_calls_on_kept_connections_all_succeed(edge):
    with requests.Session() as session:
        for _ in range(100):
            assert session.get(f"{edge}/v1/models", timeout=10).status_code == 200


def test_a_caller_cannot_choose_its_address(site, tmp_path):
    """Wrong keys are counted by address: a hundred made-up ones are still one."""
    port = int(site.url.rpartition(":")[2])
    with nginx("shipped", port, tmp_path) as edge:
        left = set()
        for number in range(3):
            headers = {"X-Forwarded-For": f"9.9.9.{number}", "SCRIPT_NAME": "/v1"}
            answer = requests.get(f"{edge}/v1/models", headers=headers, timeout=10)
            assert answer.status_code == 200
            left.add(int(answer.headers["x-ratelimit-remaining-requests"]))
        assert len(left) == 3
        assert max(left) - min(left) == 2


def test_an_error_of_the_edge_has_the_shape_of_the_api(site, tmp_path):
    port = int(site.url.rpartition(":")[2])
    with (
        nginx("shipped", port, tmp_path) as edge,
        Client(int(edge.rpartition(":")[2])) as client,
    ):
        client.send(b"POST /v1/files HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n")
        answer = client.answer()
    assert answer.status == 413
    assert json.loads(answer.body)["error"]["code"] == "request_too_large"


def test_a_rolling_restart_of_two_machines_loses_no_call(own_factory, tmp_path):
    ports = [free_port(), free_port()]
    shared = {"GATEWAY_TRUSTED_PROXIES": "1", "GATEWAY_SECRET_KEY": "of both machines"}
    seen: Counter[int] = Counter()
    over = Event()

    def machine(port):
        return own_factory.started(workers=1, PORT=str(port), **shared)

    with ExitStack() as stack:
        machines = [stack.enter_context(ExitStack()) for _ in ports]
        for opened, port in zip(machines, ports, strict=True):
            opened.enter_context(machine(port))
        url = stack.enter_context(nginx("shipped", ports[0], tmp_path, second=ports[1]))

        def call():
            while not over.is_set():
                answer = post(url, ask("Hello", model="doubao", stream=False), "ark-rolling")
                seen[answer.status_code] += 1

        callers = [Thread(target=call) for _ in range(4)]
        for caller in callers:
            caller.start()
        try:
            for opened, port in zip(machines, ports, strict=True):
                opened.close()
                opened.enter_context(machine(port))
        finally:
            over.set()
            for caller in callers:
                caller.join(30)
    assert set(seen) == {200}
    assert seen[200] > 20
