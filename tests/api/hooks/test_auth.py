"""Who may call: every route, every spelling of a credential, every kind of key."""

from __future__ import annotations

import re
import socket
import time

import pytest

from gateway import create_app
from gateway.api.hooks.auth import PUBLIC
from gateway.config.settings import Settings
from gateway.domain.accounts import Account, GatewayKey, Secret

KEY = "auth-key-0123456789"
EXPIRED = "expired-key-0123456789"
TOML = f"""
[[keys]]
name = "expired"
key = "{EXPIRED}"
expires = 2001-01-01

[[keys]]
name = "narrow"
key = "narrow-key-0123456789"
models = ["doubao"]
"""


@pytest.fixture(scope="module")
def app(tmp_path_factory):
    state = tmp_path_factory.mktemp("state")
    settings = Settings(
        database_url=f"sqlite:///{state}/gateway.db",
        media=f"file:{state}/media",
        state_dir=state,
        pool_access="keys",
        accounts=(Account("one", "ark", Secret("ark-0123456789")),),
        keys=(GatewayKey("expired", Secret(EXPIRED).digest, expires_at=1.0),),
    )
    made = create_app(settings)
    yield made
    made.extensions["gateway"].database.close()


@pytest.fixture(scope="module")
def closed(gateway_factory):
    """A gateway whose pool is for key holders."""
    with gateway_factory.started(
        workers=2,
        toml=TOML,
        GATEWAY_POOL_ACCESS="keys",
        GATEWAY_KEYS=f"team={KEY}",
        GATEWAY_OWN_CREDENTIALS="off",
        GATEWAY_TRUSTED_PROXIES="1",  # so that tests of refusals come from addresses of their own
    ) as running:
        yield running


# -- routes ----------------------------------------------------------------------------


def test_what_is_public_is_a_closed_list():
    assert {
        "ops.index",
        "ops.health",
        "ops.ready",
        "ops.metrics",
        "reference.openapi",
        "reference.docs",
        "media.serve",
    } == PUBLIC


def test_every_other_route_refuses_callers_without_a_key_for_every_method(app):
    client = app.test_client()
    walked = set()
    for rule in app.url_map.iter_rules():
        if rule.endpoint.startswith("console."):  # it has sessions
            walked.add(rule.endpoint)
            continue
        if rule.endpoint in PUBLIC or rule.websocket:
            walked.add(rule.endpoint)
            continue
        path = re.sub(r"<[^>]+>", "x", rule.rule)
        for method in sorted(rule.methods - {"OPTIONS"}):
            for headers in ({}, {"Authorization": "Bearer pooled"}):
                answer = client.open(path, method=method, headers=headers)
                assert answer.status_code == 401, (method, path)
                assert answer.headers["WWW-Authenticate"].startswith("Bearer")
                if method != "HEAD":
                    assert answer.json["error"]["message"].startswith("Incorrect API key")
        walked.add(rule.endpoint)
    assert len(walked) > 20
    assert {rule.endpoint for rule in app.url_map.iter_rules()} == walked | PUBLIC


def test_preflights_need_no_credential_and_other_methods_are_not_allowed(app):
    client = app.test_client()
    assert client.options("/v1/chat/completions").status_code == 204
    for method in ("TRACE", "PUT", "PATCH", "BREW"):
        answer = client.open("/v1/chat/completions", method=method)
        assert answer.status_code == 405
        assert "POST" in answer.headers["Allow"]
        assert answer.json["error"]["code"] == "method_not_allowed"


def test_an_expired_key_is_a_wrong_one_and_not_somebodys_own_credential(app):
    client = app.test_client()

    def ask(bearer):
        sent = {"Authorization": f"Bearer {bearer}"}
        return client.get("/v1/models", headers=sent, environ_base={"REMOTE_ADDR": "192.0.2.77"})

    assert ask("ark-own-credential").status_code == 200
    refused = [ask(EXPIRED) for _ in range(101)]
    assert [answer.status_code for answer in refused] == [401] * 100 + [429]
    assert refused[0].json["error"]["code"] == "invalid_api_key"


def raw(gateway, *lines):
    """The status of a request that is sent as it is."""
    port = int(gateway.url.rpartition(":")[2])
    head = b"\r\n".join(line if isinstance(line, bytes) else line.encode() for line in lines)
    with socket.create_connection(("127.0.0.1", port), timeout=20) as link:
        link.sendall(head + b"\r\nConnection: close\r\n\r\n")
        with link.makefile("rb") as answer:
            return int(answer.readline().split()[1])


@pytest.mark.parametrize(
    "target",
    [
        "/v1/models",
        "//v1/models",
        "/v1//models",
        "/v1/./models",
        "/v1/../v1/models",
        "/health/../v1/models",
        "/V1/models",
        "/v1/models/",
        "/v1/models;x",
        "/v1%2fmodels",
        "/%761/models",
        "/v1/models?path=/health",
        "http://evil.example/v1/models",
        "http://evil.example/health/../v1/models",
    ],
)
def test_no_spelling_of_a_path_gets_around_the_credential(closed, target):
    assert raw(closed, f"GET {target} HTTP/1.1", "Host: x") in (400, 401, 404)


@pytest.mark.parametrize(
    "lines",
    [
        ("Host: x/health?",),
        ("Host: x#",),
        ("Host: x", "SCRIPT_NAME: /health"),
        ("Host: x", "SCRIPT_NAME: /v1"),
        ("Host: x", "X-Original-URL: /health"),
        ("Host: x", "X-Rewrite-URL: /health"),
        ("Host: x", "X-HTTP-Method-Override: OPTIONS"),
    ],
)
def test_no_header_gets_around_the_credential(closed, lines):
    assert raw(closed, "GET /v1/models HTTP/1.1", *lines) in (400, 401)


# -- credentials -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "header",
    [
        {"Authorization": f"Bearer {KEY}"},
        {"Authorization": f"bearer {KEY}"},
        {"Authorization": f"BEARER   {KEY}  "},
        {"Authorization": KEY},
        {"x-api-key": KEY},
        {"api-key": KEY},
        {"x-goog-api-key": KEY},
    ],
)
def test_clients_send_a_key_in_many_ways(closed, header):
    assert closed.get("/v1/models", headers=header).status_code == 200


@pytest.mark.parametrize(
    "line",
    [
        "Authorization:",
        "Authorization: Bearer",
        "Authorization: Bearer ",
        "Authorization: Bearer undefined",
        "Authorization: Basic dXNlcjpwYXNz",
        f"Authorization: Token {KEY}",
        f"Authorization: Bearer {KEY}, Bearer {KEY}",
        f"Authorization: Bearer {KEY} {KEY}",
        f"Authorization: Bearer {KEY[:-1]}",
        f"Authorization: Bearer {KEY}x",
        f"Authorization: Bearer {KEY.upper()}",
        "Authorization: Bearer gw-0123456789012345678901234567890123456789",
        "Authorization: Bearer ' OR 1=1 --",
        f"Authorization: Bearer {EXPIRED}",
        "Authorization: Bearer \xe9\xff".encode("latin-1"),
        "Authorization: Bearer ключ".encode(),
        f"Cookie: key={KEY}",
    ],
)
def test_anything_else_is_refused_and_never_an_error(closed, line):
    lines = ("GET /v1/models HTTP/1.1", "Host: x", "X-Forwarded-For: 192.0.2.1", line)
    assert raw(closed, *lines) == 401


def test_two_different_credentials_are_refused(closed):
    lines = [f"Authorization: Bearer {key}" for key in (KEY, EXPIRED)]
    assert raw(closed, "GET /v1/models HTTP/1.1", "Host: x", *lines) == 401


def test_a_key_in_the_query_is_no_credential(closed):
    assert closed.get(f"/v1/models?key={KEY}&api_key={KEY}").status_code == 401


def test_a_key_uses_only_its_models(closed):
    narrow = "narrow-key-0123456789"
    assert closed.chat(key=narrow).status_code == 200
    refused = closed.chat(key=narrow, model="Seedream 4.0")
    assert refused.status_code == 403
    assert refused.json()["error"]["code"] == "model_not_allowed"


def test_without_own_credentials_a_vendors_key_goes_nowhere(closed, simulators):
    assert closed.chat(key="ark-own-but-refused").status_code == 401
    assert not simulators.calls("ark-own-but-refused")


def test_a_body_cannot_choose_where_the_vendors_key_is_sent(closed, media_server):
    trap = f"{media_server.url}/trap"
    redirection = {"api_base": trap, "base_url": trap, "extra_headers": {"X-Trap": "1"}}
    body = {
        "model": "doubao",
        "messages": [{"role": "user", "content": "Hello", **redirection}],
        "user_config": redirection,
        "litellm_params": {"nested": redirection},
        **redirection,
    }
    assert closed.post("/v1/chat/completions", body, key=KEY).status_code == 200
    assert not [hit for hit in media_server.hits if "trap" in hit]


def test_open_access_needs_no_key_and_still_knows_keys(gateway_factory):
    with gateway_factory.started(workers=1, GATEWAY_KEYS=f"team={KEY}") as gateway:
        for key in (None, "pooled", KEY, "undefined"):
            assert gateway.chat(key=key).status_code == 200
        assert gateway.get("/v1/models", key="gw-unknown").status_code == 401


def test_right_and_wrong_guesses_take_as_long(closed, soak):
    """Welch's t over the times of keys that are wrong at their beginning and at their end."""
    count = 5000 if soak else 60
    wrong = {"first": "x" + KEY[1:], "last": KEY[:-1] + "x"}
    times = {name: [] for name in wrong}
    for number in range(count):
        for name, key in wrong.items():
            where = {"X-Forwarded-For": f"10.{number % 250}.{number // 250}.{len(name)}"}
            began = time.perf_counter()
            assert closed.get("/v1/models", key=key, headers=where).status_code == 401
            times[name].append(time.perf_counter() - began)
    first, last = (sorted(found)[: count * 8 // 10] for found in times.values())
    means = [sum(found) / len(found) for found in (first, last)]
    spread = sum(
        sum((x - mean) ** 2 for x in found) / (len(found) - 1) / len(found)
        for found, mean in zip((first, last), means, strict=True)
    )
    assert abs(means[0] - means[1]) / spread**0.5 < (4.5 if soak else 20)
