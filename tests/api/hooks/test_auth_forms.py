"""Every way in which clients send a key, and what they send when they have none."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import pytest
import requests

KEY = "0123456789abcdef-team"
SPOKEN = "correct horse battery staple"
ACCENTED = "clé-de-l'équipe-0123"
TOML = f"""
[[keys]]
name = "team"
key = "{KEY}"
models = ["doubao"]

[[keys]]
name = "spoken"
key = "{SPOKEN}"

[[keys]]
name = "accented"
key = "{ACCENTED}"
"""


@pytest.fixture(scope="module")
def closed(gateway_factory):
    """A gateway whose pool needs a key, and that takes no vendor credentials."""
    settings = {"GATEWAY_POOL_ACCESS": "keys", "GATEWAY_OWN_CREDENTIALS": "off"}
    with gateway_factory.started(workers=1, toml=TOML, **settings) as running:
        yield running


def asked(gateway, headers, path="/v1/models"):
    """The answer to headers that no HTTP library would send."""
    target = urlsplit(gateway.url)
    head = f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n"
    with socket.create_connection((target.hostname, target.port), timeout=10) as client:
        client.sendall(head.encode("utf-8") + b"\r\n")
        answer = client.makefile("rb").read()
    return answer.partition(b"\r\n\r\n")[0].decode("latin-1"), answer


@pytest.mark.parametrize(
    "header",
    [
        f"Authorization: Bearer {KEY}",
        f"authorization: bearer {KEY}",
        f"Authorization: BEARER   {KEY}  ",
        f"Authorization: {KEY}",
        f"Authorization: Bearer Bearer {KEY}",
        f"x-api-key: {KEY}",
        f"api-key: {KEY}",
        f"api-key: Bearer {KEY}",
        f"x-goog-api-key: {KEY}",
        f"Authorization: Bearer\r\nx-api-key: {KEY}",
        f"Authorization: Bearer undefined\r\napi-key: {KEY}",
        f"Authorization: Bearer {SPOKEN}",
        f"Authorization: Bearer {ACCENTED}",
    ],
)
def test_a_key_is_recognised(closed, header):
    assert asked(closed, header)[0].startswith("HTTP/1.1 200")


@pytest.mark.parametrize(
    "header",
    [
        "X-Nothing: 1",
        "Authorization:",
        "Authorization: Bearer",
        "Authorization: Bearer undefined",
        "Authorization: Bearer null",
        "Authorization: Bearer None",
        "Authorization: Bearer pooled",
        "Authorization: Bearer POOLED",
        "Authorization: Bearer [object Object]",
        "Authorization: Basic dGVhbTprZXk=",
        "Authorization: Basic",
        f"Authorization: Basic {KEY}",
        f'Authorization: Bearer "{KEY}"',
        f"Authorization: Bearer {KEY}x",
        f"Authorization: Bearer {KEY.upper()}",
        f"Authorization: Bearer {KEY}\r\nAuthorization: Bearer {KEY}",
        f"Authorization: Bearer {KEY},x",
        "Authorization: Bearer gw-unknown",
        "Authorization: Bearer ' OR 1=1 --",
        "Authorization: Bearer klé",
        "Authorization: Bearer " + "x" * 7000,
    ],
)
def test_what_is_no_key_is_refused(closed, header):
    head, answer = asked(closed, header)
    assert head.startswith("HTTP/1.1 401")
    assert "\r\nWWW-Authenticate: Bearer" in head
    assert b'"code":"invalid_api_key"' in answer


def test_a_key_in_the_address_is_none(closed):
    assert requests.get(f"{closed.url}/v1/models?key={KEY}", timeout=10).status_code == 401


@pytest.mark.parametrize("header", ["", "Authorization: Bearer null", "api-key: undefined"])
def test_an_open_pool_serves_those_without_a_key(gateway, header):
    head, answer = asked(gateway, header or "X-Nothing: 1")
    assert head.startswith("HTTP/1.1 200")
    assert b'"doubao"' in answer


@pytest.mark.parametrize(
    "path",
    [
        "/v1/models",
        "//v1/models",
        "/v1//models",
        "/v1/v1/models",
        "/v1/models/",
        "/v1/models/doubao",
        "/v1/jobs",
        "/v1/files",
        "/v1/videos",
        "/%76%31/models",
        "http://elsewhere/v1/models",
    ],
)
def test_no_spelling_of_an_address_needs_no_key(closed, path):
    assert asked(closed, "X-Nothing: 1", path)[0].startswith("HTTP/1.1 401")
    assert asked(closed, f"Authorization: Bearer {KEY}", path)[0].startswith("HTTP/1.1 200")


def test_a_key_opens_its_models_only(closed):
    assert closed.chat(key=KEY).status_code == 200
    answer = closed.chat(model="test-model", key=KEY)
    assert answer.status_code == 403
    assert answer.json()["error"]["code"] == "model_not_allowed"
    assert [m["id"] for m in closed.get("/v1/models", key=KEY).json()["data"]] == ["doubao"]
    assert closed.get("/v1/models/test-model", key=KEY).status_code == 403
    assert closed.chat(model="ark/doubao-seed-1-6-251015", key=KEY).status_code == 403


def test_keys_are_nowhere_in_the_log(closed):
    log = closed.log.read_text()
    assert KEY not in log
    assert SPOKEN not in log


def test_a_refused_key_is_told_in_the_words_that_clients_look_for(closed):
    _, answer = asked(closed, "Authorization: Bearer gw-nobody-has-this")
    assert b"Incorrect API key provided" in answer
