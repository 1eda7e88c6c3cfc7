"""Answers that take their time: what callers, routers and SDKs see meanwhile and at the end."""

from __future__ import annotations

import json
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path

import openai
import pytest
import requests

from tests.server.serving import Client, Cut, report, until
from tests.support.callers import ask, request_bytes
from tests.support.router import Router

CHAT, IMAGES = "/v1/chat/completions", "/v1/images/generations"
VIDEO, JOBS = "/v1/video/generations", "/v1/jobs"
NODE = Path(__file__).parents[1] / "node"
HOLD_S, HEARTBEAT_S = 0.8, 0.6
QUICK = {"GATEWAY_HOLD_S": str(HOLD_S), "GATEWAY_HEARTBEAT_S": str(HEARTBEAT_S)}


@pytest.fixture(scope="module")
def site(own_factory):
    """A gateway that begins to bridge after a second."""
    with own_factory.started(**QUICK) as running:
        yield running


def client_of(gateway):
    return Client(int(gateway.url.rpartition(":")[2]))


def sdk(gateway, key, **options):
    options.setdefault("timeout", 30)
    return openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=key, **options)


def body_for(path, *, stream=False):
    if path == CHAT:
        return ask("Hello", model="doubao", stream=stream)
    return {"prompt": "a cat", "stream": stream}


@pytest.mark.parametrize(
    ("path", "key"),
    [(CHAT, "ark-long3-held"), (IMAGES, "ark-long3-held"), (VIDEO, "ark-video4-held")],
)
def test_a_slow_answer_begins_with_white_space_and_is_json(site, path, key):
    with client_of(site) as client:
        began = time.monotonic()
        client.send(request_bytes(path, body_for(path), key=key))
        status, headers = client.head()
        assert HOLD_S * 0.8 < time.monotonic() - began < HOLD_S + 1.5
        assert (status, headers["content-type"]) == (200, "application/json")
        assert headers["x-request-id"]
        assert "X-Gateway-Job" in headers["access-control-expose-headers"]
        assert ("x-gateway-job" in headers) is (path != CHAT)
        chunks = list(iter(client.chunk, b""))
    assert set(chunks[:3]) == {b" "}
    assert json.loads(b"".join(chunks))["choices"]
    if path != CHAT:
        job = site.get(f"{JOBS}/{headers['x-gateway-job']}", key=key).json()
        assert job["result"]["id"] == json.loads(b"".join(chunks))["id"]


@pytest.mark.parametrize(
    ("path", "key"),
    [(CHAT, "ark-long3-streamed"), (IMAGES, "ark-long3-streamed"), (VIDEO, "ark-video4-streamed")],
)
def test_a_slow_stream_has_comments_from_the_start(site, path, key):
    with client_of(site) as client:
        began = time.monotonic()
        client.send(request_bytes(path, body_for(path, stream=True), key=key))
        status, headers = client.head()
        assert time.monotonic() - began < HOLD_S + 1.5
        assert (status, headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
        assert ("x-gateway-job" in headers) is (path != CHAT)
        text = b"".join(iter(client.chunk, b"")).decode()
    comments = [line for line in text.split("\n\n") if line.startswith(":")]
    assert len(comments) >= 3
    assert text.endswith("data: [DONE]\n\n")


def test_a_chat_that_makes_a_picture_names_its_job_with_the_first_byte(site):
    with client_of(site) as client:
        body = ask("a cat", model="doubao-image", stream=False)
        client.send(request_bytes(CHAT, body, key="ark-long3-chat-picture"))
        _, headers = client.head()
        answer = json.loads(b"".join(iter(client.chunk, b"")))
    assert headers["x-gateway-job"]
    assert answer["choices"][0]["message"]["images"]


def test_an_answer_for_http_1_0_keeps_its_status_however_long_it_takes(site):
    request = request_bytes(CHAT, body_for(CHAT), key="ark-long3-hang-old")
    with client_of(site) as client:
        client.send(request.replace(b"HTTP/1.1", b"HTTP/1.0"))
        time.sleep(HOLD_S + 1.5)
        client.sock.setblocking(False)
        with pytest.raises(BlockingIOError):
            client.sock.recv(1)


@pytest.mark.parametrize("stream", [False, True])
def test_a_quick_failure_has_its_own_status(site, stream):
    answer = site.chat(key="ark-empty3-quick", stream=stream)
    assert answer.status_code == 429
    assert answer.json()["error"]["code"] == "rate_limit_exceeded"


@pytest.fixture(scope="module")
def dying(vendors, own_factory):
    """A gateway whose vendor falls silent; it gives up after 2.5 s, when 200 is long sent."""
    toml = "[timeouts.ark]\nfirst_byte_s = 2.5\nidle_s = 2.5\ntotal_s = 2.5\n"
    with own_factory.started(toml=toml, **QUICK) as running:
        yield running


def test_a_late_failure_of_a_stream_is_its_last_event(dying):
    answer = dying.chat(key="ark-hang-late-stream", stream=True)
    assert answer.status_code == 200
    *comments, last = answer.text.strip().split("\n\n")
    assert set(comments) == {": waiting"}
    assert json.loads(last[6:])["error"]["code"] == "upstream_timeout"


def test_a_late_failure_breaks_the_answer_off(dying):
    with client_of(dying) as client:
        client.send(request_bytes(CHAT, body_for(CHAT), key="ark-hang-unended"))
        assert client.head()[0] == 200
        assert client.chunk() == b" "
        with pytest.raises(Cut) as cut:
            list(iter(client.chunk, b""))
    assert b"error" not in cut.value.args[0]


@pytest.mark.parametrize("make", ["chat", "image"])
def test_the_sdk_learns_of_a_late_failure_by_its_own_repetition(dying, vendors, make):
    key = f"ark-hang-late-{make}"
    with sdk(dying, key) as client:
        calls = {
            "chat": lambda: client.chat.completions.create(
                **ask("Hi", model="doubao", stream=False)
            ),
            "image": lambda: client.images.generate(model="doubao-image", prompt="a cat"),
        }
        with pytest.raises(openai.InternalServerError) as failure:
            calls[make]()
    expected = {"chat": (504, "upstream_timeout"), "image": (502, "outcome_unknown")}[make]
    assert (failure.value.status_code, failure.value.code) == expected
    assert failure.value.response.headers["x-should-retry"] == "false"
    assert vendors.calls(key) == 1


LATE_REFUSALS = {"chat": CHAT, "image": IMAGES}


@pytest.mark.parametrize("make", LATE_REFUSALS)
def test_the_sdk_learns_of_a_late_refusal_by_its_own_repetition(site, vendors, make):
    key, path = f"ark-long2-blocked-{make}", LATE_REFUSALS[make]
    with sdk(site, key) as client, pytest.raises(openai.BadRequestError) as failure:
        client.post(path.removeprefix("/v1"), body=body_for(path), cast_to=dict)
    assert failure.value.code == "content_filtered"
    assert failure.value.response.headers["x-should-retry"] == "false"
    assert vendors.calls(key) == 1


@pytest.mark.parametrize("make", LATE_REFUSALS)
def test_a_late_refusal_under_a_key_is_told_to_who_asks_again(site, vendors, make):
    key, path = f"ark-long2-blocked-keyed-{make}", LATE_REFUSALS[make]
    headers = {"Idempotency-Key": f"late {make}"}
    with pytest.raises(requests.RequestException):
        site.post(path, body_for(path), key=key, headers=headers)
    answer = site.post(path, body_for(path), key=key, headers=headers)
    assert (answer.status_code, answer.headers["x-should-retry"]) == (400, "false")
    assert answer.json()["error"]["code"] == "content_filtered"
    assert vendors.calls(key) == 1


def test_a_late_refusal_that_passes_says_when_also_to_who_asks_again(site):
    key, headers = "ark-long2-empty1-keyed-again", {"Idempotency-Key": "late and passing"}
    with pytest.raises(requests.RequestException):
        site.post(CHAT, body_for(CHAT), key=key, headers=headers)
    answer = site.post(CHAT, body_for(CHAT), key=key, headers=headers)
    assert (answer.status_code, answer.headers["x-should-retry"]) == (429, "false")
    assert int(answer.headers["Retry-After"]) >= 1


@pytest.mark.parametrize("make", LATE_REFUSALS)
def test_a_keyed_stream_that_is_refused_late_is_made_anew(site, vendors, make):
    key, path = f"ark-long2-empty1-keyed-{make}", LATE_REFUSALS[make]
    headers = {"Idempotency-Key": f"late stream {make}"}
    for calls in (1, 2):
        answer = site.post(path, body_for(path, stream=True), key=key, headers=headers)
        assert answer.status_code == 200
        assert '"code":"rate_limit_exceeded"' in answer.text
        assert "Idempotent-Replayed" not in answer.headers
        assert vendors.calls(key) == calls


def test_the_node_sdk_never_takes_a_broken_answer_for_one(dying, vendors):
    """It throws what the runtime throws, and does not send again what fails within the body."""
    for make in ("chat", "image"):
        key = f"ark-hang-node-{make}"
        command = ["node", "faults.mjs", f"{dying.url}/v1", key, make]
        done = subprocess.run(command, cwd=NODE, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        (seen,) = json.loads(done.stdout)
        assert seen == {"complete": False, "name": "TypeError", "message": "terminated"}
        assert vendors.calls(key) == 1


def test_a_failed_film_is_an_error_also_when_it_fails_late(site, vendors):
    key = "ark-video3-failed-late"
    with requests.Session() as session:
        with pytest.raises(requests.RequestException):
            session.post(
                site.url + VIDEO,
                json=body_for(VIDEO),
                headers={"Authorization": f"Bearer {key}"},
                timeout=30,
            )
        answer = session.post(
            site.url + VIDEO,
            json=body_for(VIDEO),
            headers={"Authorization": f"Bearer {key}", "x-stainless-retry-count": "1"},
            timeout=30,
        )
    assert (answer.status_code, answer.headers["x-should-retry"]) == (502, "false")
    assert answer.json()["error"]["code"] == "job_failed"
    assert vendors.operations(key)["ark.videos.create"] == 1


def test_no_late_failure_ever_looks_like_success(dying, soak):
    count = 100 if soak else 10

    def call(number):
        with sdk(dying, f"ark-hang-never-{number}", max_retries=0) as client:
            try:
                client.chat.completions.create(**ask("Hello", model="doubao", stream=False))
            except openai.APIConnectionError:
                return "error"
            return "success"

    with ThreadPoolExecutor(20) as threads:
        assert set(threads.map(call, range(count))) == {"error"}
    report(f"{count} failures after the heartbeats had begun: 0 seen as success")


# -- behind Heroku's router ------------------------------------------------------------

FILM_S = 180.0
SCALE = 1 / 24  # of the film's time and the router's; `QUICK` has about that of the gateway's


@contextmanager
def in_real_time(own_factory):
    with own_factory.started(GATEWAY_TRUSTED_PROXIES="1") as running:
        yield running


@pytest.mark.timeout(600)
def test_the_router_never_cuts_a_film_of_three_minutes(site, own_factory, soak):
    scale = 1.0 if soak else SCALE
    key = f"ark-video{FILM_S * scale:.0f}-routed"
    with (
        in_real_time(own_factory) if soak else nullcontext(site) as gateway,
        Router.started(gateway.url, scale=scale) as router,
        ThreadPoolExecutor(3) as threads,
    ):
        films = list(threads.map(lambda mode: mode(router, key), (waited, streamed, polled)))
        assert len(set(films)) == 3
        assert router.codes == []
        first = max(request.first_byte_s for request in router.requests)
        gap = max(request.longest_gap_s for request in router.requests)
    if soak:
        assert first <= 25
        assert gap <= 20
    report(
        f"a film of {FILM_S * scale:g} s, waited for, streamed and polled behind the router: no "
        f"H12, no H15; first byte after {first:.2f} s at most, longest silence {gap:.2f} s"
    )


def headers_of(key, **more):
    return {"Authorization": f"Bearer {key}", **more}


def waited(router, key):
    answer = requests.post(
        router.url + VIDEO, json=body_for(VIDEO), headers=headers_of(key), timeout=300
    )
    return answer.json()["choices"][0]["message"]["videos"][0]["url"]


def streamed(router, key):
    body = {"prompt": "a dog", "stream": True}
    answer = requests.post(router.url + VIDEO, json=body, headers=headers_of(key), timeout=300)
    chunks = [json.loads(x[6:]) for x in answer.text.split("\n\n") if x.startswith("data: {")]
    assert answer.text.endswith("data: [DONE]\n\n")
    assert ": in_progress " in answer.text
    (videos,) = [d["videos"] for c in chunks if "videos" in (d := c["choices"][0]["delta"])]
    return videos[0]["url"]


def polled(router, key):
    answer = requests.post(
        router.url + VIDEO,
        json={"prompt": "a bird"},
        headers=headers_of(key, Prefer="respond-async"),
        timeout=30,
    )
    url = router.url + answer.headers["Location"]

    def result():
        job = requests.get(url, headers=headers_of(key), timeout=30).json()
        assert job["status"] != "failed", job
        time.sleep(0.2)
        return job["result"]

    return until(result, within_s=300)["choices"][0]["message"]["videos"][0]["url"]
