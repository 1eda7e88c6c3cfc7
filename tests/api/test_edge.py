"""Requests at the edge of HTTP: odd headers, foreign hosts, caches in between, line ends."""

from __future__ import annotations

import json
import socket

import pytest
import requests

KEY = "edge-key-0123456789"
SPOKEN = "correct horse battery staple"
CHAT = "/v1/chat/completions"


@pytest.fixture(scope="module")
def closed(gateway_factory):
    """A gateway with a public name and an address for each caller."""
    with gateway_factory.started(
        workers=1,
        GATEWAY_POOL_ACCESS="keys",
        GATEWAY_KEYS=f"team={KEY},spoken={SPOKEN}",
        GATEWAY_OWN_CREDENTIALS="off",
        GATEWAY_TRUSTED_PROXIES="1",
        GATEWAY_PUBLIC_URL="https://ai.example.com/base",
    ) as running:
        yield running


def raw(gateway, head):
    """Status and body of an answer to a request that no library would send."""
    port = int(gateway.url.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=20) as link:
        link.sendall(head.encode("latin-1") + b"\r\nConnection: close\r\n\r\n")
        answer = link.makefile("rb").read()
    return int(answer.split()[1]), answer.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("count", ["²", "9" * 5000, "-1", "one", "1.5", "00"])
def test_a_count_of_repetitions_that_is_none_is_ignored(gateway, count):
    answer = gateway.chat(model="test-model", headers={"x-stainless-retry-count": count})
    assert answer.status_code == 200


@pytest.mark.parametrize("seconds", ["9" * 5000, "9" * 19, "²", "-1", "1e3"])
def test_a_file_that_expires_at_no_time(gateway, seconds):
    answer = requests.post(
        f"{gateway.url}/v1/files",
        files={"file": ("a.txt", b"hello")},
        data={"expires_after[seconds]": seconds},
        timeout=20,
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_value"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", path) for path in ("/", "/health", "/ready", "/metrics", "/docs")),
        *(("GET", path) for path in ("/openapi.json", "/v1/models", "/v1/jobs", "/v1/files")),
        *(("GET", path) for path in ("/nowhere", "/v1/nowhere", "/v1/models.css", "/media/x.png")),
        *((method, CHAT) for method in ("POST", "OPTIONS", "TRACE", "PUT")),
    ],
)
def test_nothing_dynamic_may_be_kept_by_a_cache(gateway, method, path):
    answer = requests.request(method, gateway.url + path, timeout=20)
    assert "no-store" in answer.headers["Cache-Control"]
    if path.startswith("/v1/") and method != "OPTIONS":
        assert answer.headers["Vary"] == "Authorization, Origin"


@pytest.mark.parametrize("stream", [False, True])
def test_an_answer_depends_on_who_asks(gateway, stream):
    answer = gateway.chat(model="test-model", stream=stream)
    assert answer.headers["Vary"] == "Authorization, Origin"
    assert answer.headers["Cache-Control"] in ("no-store", "no-cache, no-transform")


@pytest.mark.parametrize(
    "host",
    [
        *("ai.example.com", "AI.example.com:443", "ai.example.com.", "gateway", "localhost:8000"),
        *("gateway.team.svc.cluster.local", "10.1.2.3", "[::1]:8000", "proxy.internal"),
    ],
)
def test_hosts_that_are_ours(closed, host):
    assert raw(closed, f"GET /health HTTP/1.1\r\nHost: {host}")[0] == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "ai.example.com.evil.example", "xai.example.com", "example.com"),
        *("ai.example.com:80:80@evil.example", "10.1.2.3.evil.example", "[evil.example]", ":80"),
        *("127.0.0.1.nip.io", "..", "ai.example.com%00"),
    ],
)
def test_a_foreign_name_is_refused_where_there_is_a_public_one(closed, host):
    status, body = raw(closed, f"GET /v1/models HTTP/1.1\r\nHost: {host}\r\nAuthorization: {KEY}")
    assert status == 400
    assert json.loads(body)["error"]["code"] in ("invalid_host", "invalid_request")


def test_any_name_will_do_where_there_is_no_public_one(gateway):
    assert raw(gateway, "GET /v1/models HTTP/1.1\r\nHost: any.example")[0] == 200


def test_a_client_of_old_names_no_host(closed):
    assert raw(closed, "GET /health HTTP/1.0")[0] == 200


@pytest.mark.parametrize("host", ["my_gateway:8000", "[::1]:8000", "ai.example", "10.0.0.1"])
def test_links_are_on_the_host_that_the_caller_named(gateway, host):
    headers = {"Host": host, "X-Forwarded-Proto": "javascript", "X-Forwarded-Host": "evil.example"}
    answer = gateway.post("/v1/images/generations", {"prompt": "a cat"}, headers=headers)
    assert answer.json()["data"][0]["url"].startswith(f"http://{host}/media/")


@pytest.mark.parametrize(
    "host", ["a:b", "x,y", "x;y", "[", "[zz]", "x]", "%zz", "x(y)", "x:1:2", "x@y", "a b", "é", ""]
)
def test_a_host_that_is_none_is_refused(gateway, host):
    status, body = raw(gateway, f"GET /v1/models HTTP/1.1\r\nHost: {host}")
    assert (status, json.loads(body)["error"]["code"]) == (400, "invalid_request")


@pytest.mark.parametrize("guess", ["correct horse %d", '"quoted-%d"', "Token clé-%d"])
def test_guesses_of_every_form_are_counted_by_address(closed, guess):
    address = {"X-Forwarded-For": f"198.51.100.{len(guess)}"}
    statuses = [
        raw(
            closed,
            "GET /v1/models HTTP/1.1\r\nHost: x\r\n"
            f"X-Forwarded-For: 198.51.100.{len(guess)}\r\nAuthorization: Bearer {guess % number}",
        )[0]
        for number in range(110)
    ]
    assert statuses[0] == 401
    assert statuses[-1] == 429
    assert closed.get("/v1/models", key=SPOKEN, headers=address).status_code == 200
    elsewhere = {"X-Forwarded-For": "198.51.100.200"}
    assert closed.get("/v1/models", key="x y", headers=elsewhere).status_code == 401


@pytest.mark.parametrize("text", ["a\x85b", "a\u2028b", "\u2029 data: [DONE] \u2029", "a\x0b\x1cb"])
@pytest.mark.parametrize("model", ["test-model", "gemini-3.8-flash"])
def test_no_reader_of_a_stream_sees_a_line_end_inside_a_text(gateway, model, text):
    answer = gateway.chat(text, model=model, stream=True)
    stream = answer.content.decode()
    assert stream.splitlines() == stream.split("\n")[:-1]
    chunks = [json.loads(line[6:]) for line in stream.splitlines() if line.startswith("data: {")]
    said = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
    assert f'"{text}"' in said
