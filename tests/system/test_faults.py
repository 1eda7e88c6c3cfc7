"""Vendors that are slow, fall silent, break off or send nonsense; callers that do not read."""

from __future__ import annotations

import json
import random
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import openai
import psutil
import pytest
import requests

from tests.server.serving import Client, report, until
from tests.support.callers import ask, request_bytes
from tests.support.faults import Fault, FaultProxy, firehose
from tests.support.nginx import nginx

CHAT = "/v1/chat/completions"
NODE = Path(__file__).parents[1] / "node"
MIB = 1024 * 1024

TIMEOUTS = """
[timeouts.openai]
connect_s = 1
first_byte_s = 2
idle_s = 2
total_s = 4

[timeouts.ark]
connect_s = 1
first_byte_s = 3
idle_s = 3
total_s = 6

[[accounts]]
name = "unreachable"
upstream = "openai"
credential = "sk-unreachable"
base_url = "{deaf}"
models = ["deaf-model"]
"""


@contextmanager
def deaf_server():
    """Takes no connection: its queue is full, so that the network keeps callers waiting."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.socket())
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(server.getsockname())
        yield f"http://127.0.0.1:{server.getsockname()[1]}/v1"


@pytest.fixture(scope="module")
def site(own_factory):
    with (
        deaf_server() as deaf,
        own_factory.started(
            toml=TIMEOUTS.format(deaf=deaf),
            OPENAI_API_KEYS="",
            OPENAI_MODELS="test-model,deaf-model",
        ) as running,
    ):
        yield running


def took(began):
    return time.monotonic() - began


@pytest.mark.parametrize(
    ("model", "key", "limit_s"),
    [
        ("deaf-model", None, 1),
        ("test-model", "sk-hang-first-byte", 4),
        ("doubao", "ark-hang-first-byte", 6),
    ],
    ids=["connect", "silent-openai", "silent-ark"],
)
def test_a_vendor_that_does_not_answer_is_a_timeout(site, model, key, limit_s):
    """Where the vendor may be silent while it works, an answer in one piece has all the time."""
    began = time.monotonic()
    answer = site.chat(model=model, key=key)
    assert abs(took(began) - limit_s) < 1
    assert (answer.status_code, answer.json()["error"]["code"]) == (504, "upstream_timeout")


@pytest.mark.parametrize(
    ("model", "key", "limit_s"),
    [
        ("test-model", "sk-hang-stream", 2),
        ("doubao", "ark-hang-stream", 3),
        ("test-model", "sk-stall2-idle", 2),
        ("doubao", "ark-stall2-idle", 3),
        ("test-model", "sk-endless-slow100-total", 4),
        ("doubao", "ark-endless-slow100-total", 6),
    ],
)
def test_every_phase_of_a_stream_has_its_own_limit(site, model, key, limit_s):
    began = time.monotonic()
    answer = site.chat(model=model, key=key, stream=True)
    assert abs(took(began) - limit_s) < 1
    if "hang" in key:
        assert (answer.status_code, answer.json()["error"]["code"]) == (504, "upstream_timeout")
    else:
        last = answer.text.strip().split("\n\n")[-1]
        assert json.loads(last[6:])["error"]["code"] == "upstream_timeout"


@pytest.mark.parametrize(
    ("model", "key"),
    [
        *(("test-model", f"sk-{fault}") for fault in ("cut2", "ended2", "malformed")),
        *(("doubao", f"ark-{fault}") for fault in ("cut2", "ended2", "malformed")),
        *(("gemini-2.5-flash", f"AIza-{fault}") for fault in ("cut2", "ended2", "malformed")),
        *(("gemini-enterprise", f"ya29.{fault}") for fault in ("cut2", "ended2", "malformed")),
    ],
)
def test_a_stream_that_fails_ends_with_an_error_event(site, model, key):
    answer = site.chat("Tell me about the sea", model=model, key=key, stream=True)
    assert "[DONE]" not in answer.text
    if answer.status_code == 200:
        last = json.loads(answer.text.strip().split("\n\n")[-1].removeprefix("data: "))
    else:  # before the first event
        assert answer.status_code == 502
        last = answer.json()
    assert last["error"]["code"] in ("upstream_disconnected", "upstream_invalid_response")


# -- broken streams as SDKs see them -----------------------------------------------------


def broken(number):
    return Fault(random.choice(("reset", "end")), after=random.randrange(250, 20_000))


@pytest.fixture(scope="module")
def breaking(own_factory, vendors):
    """A gateway whose vendor's endless streams all end before their time."""
    with (
        FaultProxy.started(vendors.url, broken) as proxy,
        own_factory.started(ARK_BASE_URL=f"{proxy.url}/ark/api/v3") as running,
    ):
        yield running


@pytest.fixture(scope="module", params=["direct", "nginx"])
def address(request, breaking, tmp_path_factory):
    """The gateway itself, or nginx with its old defaults before it."""
    if request.param == "direct":
        yield breaking.url
    else:
        port = int(breaking.url.rpartition(":")[2])
        with nginx("old-defaults", port, tmp_path_factory.mktemp("nginx")) as url:
            yield url


@pytest.mark.timeout(600)
def test_no_broken_stream_looks_complete_to_the_python_sdk(address, soak):
    count = 250 if soak else 20

    def call(number):
        with openai.OpenAI(
            base_url=f"{address}/v1", api_key="ark-endless-slow2", max_retries=0
        ) as client:
            try:
                body = ask(f"Hello {number}", model="doubao", stream=True)
                list(client.chat.completions.create(**body))
            except openai.APIError:
                return "error"
            return "complete"

    with ThreadPoolExecutor(20) as threads:
        found = list(threads.map(call, range(count)))
    assert set(found) == {"error"}
    report(f"{count} broken streams in the Python SDK: 0 look complete")


@pytest.mark.timeout(600)
def test_no_broken_stream_looks_complete_to_the_node_sdk(address, soak):
    count = 250 if soak else 20
    command = ["node", "faults.mjs", f"{address}/v1", "ark-endless-slow2", "stream"]
    command += [str(count), "0"]
    done = subprocess.run(command, cwd=NODE, capture_output=True, text=True, timeout=500)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) == count
    assert not any(one["complete"] for one in found)
    report(f"{count} broken streams in the Node SDK: 0 look complete")


# -- callers that do not read -------------------------------------------------------------


@pytest.fixture(scope="module")
def flood(own_factory):
    """A gateway of one worker, and how much each connection took from its endless vendor."""
    with (
        firehose() as (vendor, taken),
        own_factory.started(workers=1, OPENAI_BASE_URL=vendor) as running,
    ):
        yield running, taken


def test_callers_that_do_not_read_stop_the_vendor_and_cost_little(flood, soak):
    count = 200 if soak else 40
    gateway, taken = flood
    with ExitStack() as stack:
        (worker,) = gateway.workers()
        gateway.chat(key="ark-warm", stream=True)
        port = int(gateway.url.rpartition(":")[2])
        body = ask("Hello", model="test-model", stream=True)

        def stall(number):
            begun = len(taken) + number
            for _ in range(number):
                caller = stack.enter_context(Client(port, receive_buffer=4096))
                caller.send(request_bytes(CHAT, body))
            until(lambda: len(taken) == begun and steady(lambda: sum(taken)), within_s=60)

        stall(10)  # what the first of them need is there for all
        before = worker.memory_info().rss
        stall(count)
        grown = worker.memory_info().rss - before
        assert gateway.chat(key="ark-beside").status_code == 200
    assert grown / count < 256 * 1024
    report(
        f"{count} callers that do not read: {grown / count / 1024:.0f} kB each in the gateway, "
        f"the vendor stopped after {sum(taken) / len(taken) / MIB:.1f} MB each"
    )


def steady(value):
    before = value()
    time.sleep(1)
    return value() == before


def test_a_slow_caller_gets_everything(flood):
    gateway, _ = flood
    (worker,) = gateway.workers()
    key = "ark-words3000-slowly"
    quick = gateway.chat(key=key, stream=True).text
    with Client(int(gateway.url.rpartition(":")[2]), receive_buffer=4096) as caller:
        body = ask("Hello", model="doubao", stream=True)
        caller.send(request_bytes(CHAT, body, key=key)).head()
        text = b""
        while chunk := caller.chunk():
            text += chunk
            time.sleep(0.0005)
    assert text.endswith(b"data: [DONE]\n\n")
    assert content(text.decode()) == content(quick)
    assert psutil.pid_exists(worker.pid)


def content(text):
    chunks = [json.loads(x[6:]) for x in text.split("\n\n") if x.startswith("data: {")]
    return "".join(c["choices"][0]["delta"].get("content", "") for c in chunks if c["choices"])


def test_an_upstream_that_is_reset_before_it_answers_is_asked_once_more(own_factory, vendors):
    with (
        FaultProxy.started(vendors.url, lambda n: Fault("reset") if n == 0 else Fault()) as proxy,
        own_factory.started(
            workers=1, ARK_API_KEYS="ark-first,ark-second", ARK_BASE_URL=f"{proxy.url}/ark/api/v3"
        ) as gateway,
    ):
        answer = gateway.chat()
        assert answer.status_code == 200
        assert answer.headers["X-Gateway-Attempts"] == "2"
        with requests.Session() as session:
            assert session.get(f"{gateway.url}/ready", timeout=10).status_code == 200
        until(lambda: len(proxy.connections) == 2)
