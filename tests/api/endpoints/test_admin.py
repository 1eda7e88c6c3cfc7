"""The admin API: what operators can do over HTTP, and what nobody else can."""

from __future__ import annotations

import time

import pytest
import requests

ADMIN = "admin-key-0123456789"
PLAIN = "plain-key-0123456789"
SECRET = "ark-added-0123456789abcdef"
HELLO = {"model": "doubao", "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture(scope="module")
def site(gateway_factory):
    with gateway_factory.started(
        GATEWAY_ADMIN_KEYS=f"root={ADMIN}",
        GATEWAY_KEYS=f"plain={PLAIN}",
        GATEWAY_POOL_ACCESS="keys",
        GATEWAY_SECRET_KEY="k" * 32,
        ARK_API_KEYS="ark-pool,ark-wrong-2",
    ) as running:
        yield running


def admin(site, method, path, body=None, *, status=200):
    headers = {"Authorization": f"Bearer {ADMIN}"}
    got = requests.request(method, f"{site.url}/v1/admin{path}", json=body, headers=headers)
    assert got.status_code == status, got.text
    return got.json()


def by_name(listed):
    return {row["name"]: row for row in listed["data"]}


@pytest.mark.parametrize("key", [None, PLAIN, "gw-unknown-key-0123456789"])
@pytest.mark.parametrize(
    "path", ["accounts", "keys", "teams", "usage", "requests", "jobs", "models", "audit"]
)
def test_nobody_but_an_admin_sees_anything(site, key, path):
    got = site.get(f"/v1/admin/{path}", key=key)
    assert got.status_code == (403 if key == PLAIN else 401)
    assert got.json()["error"]["code"] == ("forbidden" if key == PLAIN else "invalid_api_key")


def test_an_account_is_added_tested_changed_switched_and_removed(site):
    table = {"name": "spare", "upstream": "ark", "credential": SECRET, "weight": 3}
    added = admin(site, "POST", "/accounts", table, status=201)
    assert (added["state"], added["weight"], added["ends_with"]) == ("ready", 3, "cdef")
    assert SECRET not in str(added)
    assert admin(site, "POST", "/accounts/spare/test")["error"] is None
    changed = admin(site, "PATCH", "/accounts/spare", {"weight": 7, "limits": {"chat": "5/hour"}})
    assert (changed["weight"], changed["limits"], changed["used"]) == (
        7,
        {"chat": "5/hour"},
        {"chat": 0},
    )
    for action, state in (("disable", "disabled"), ("drain", "draining"), ("enable", "ready")):
        assert admin(site, "POST", f"/accounts/spare/{action}")["state"] == state
    admin(site, "DELETE", "/accounts/spare")
    assert "spare" not in by_name(admin(site, "GET", "/accounts"))
    told = [(e["action"], e["target"], e["actor"]) for e in admin(site, "GET", "/audit")["data"]]
    assert ("account.add", "spare", "root") in told
    assert ("account.remove", "spare", "root") in told
    assert SECRET not in str(told)


def test_an_ejected_account_shows_why_and_until_when_and_can_be_reset(site):
    while (row := by_name(admin(site, "GET", "/accounts"))["ark-2"])["state"] == "ready":
        site.post("/v1/chat/completions", HELLO, key=PLAIN)
    assert (row["state"], row["reason"]) == ("ejected", "account")
    assert row["returns_at"] > time.time()
    assert admin(site, "POST", "/accounts/ark-2/reset")["state"] == "ready"


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"name": "a", "upstream": "nobody", "credential": "x" * 20}, "upstream"),
        ({"name": "a", "upstream": "ark"}, "credential"),
        ({"name": "a", "upstream": "ark", "credential": "env:GATEWAY_SECRET_KEY"}, "credential"),
        ({"name": "a", "upstream": "ark", "credential": "file:/etc/passwd"}, "credential"),
        ({"name": "a", "upstream": "ark", "credential": "x" * 20, "weight": -1}, "weight"),
        ({"name": "", "upstream": "ark", "credential": "x" * 20}, "name"),
    ],
)
def test_an_account_that_cannot_be_is_refused_by_name(site, body, param):
    error = admin(site, "POST", "/accounts", body, status=400)["error"]
    assert error["param"] == param
    assert "a" not in by_name(admin(site, "GET", "/accounts"))


def test_accounts_of_the_settings_are_changed_there(site):
    for method in ("PATCH", "DELETE"):
        error = admin(site, method, "/accounts/ark-1", {"weight": 2}, status=409)["error"]
        assert "settings" in error["message"]
    assert admin(site, "DELETE", "/accounts/nobody", status=404)["error"]["code"] == "not_found"


def test_a_key_is_made_used_changed_and_revoked(site):
    body = {"name": "made", "team": "design", "budget": {"month": 10}, "max_in_flight": 5}
    made = admin(site, "POST", "/keys", body, status=201)
    secret = made["key"]
    assert secret.startswith("gw-")
    assert made["budget"] == {"month": 10}
    got = site.post("/v1/chat/completions", HELLO, key=secret)
    assert got.status_code == 200, got.text
    cost = float(got.headers["X-Gateway-Cost"])
    listed = by_name(admin(site, "GET", "/keys"))
    assert secret not in str(listed)
    assert listed["made"]["spent"]["month"] == pytest.approx(cost)
    assert listed["root"]["admin"]
    changed = admin(site, "PATCH", "/keys/made", {"limits": "5/hour", "budget": {"day": 1}})
    assert (changed["limits"], changed["budget"]) == ("5/hour", {"day": 1})
    assert admin(site, "POST", "/keys", body, status=409)["error"]["param"] == "name"
    admin(site, "DELETE", "/keys/made")
    until = time.monotonic() + 10
    while site.get("/v1/models", key=secret).status_code != 401:
        assert time.monotonic() < until
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "name"),
        ({"name": "a b"}, "name"),
        ({"name": "x", "limits": "often"}, "limits"),
        ({"name": "x", "budget": {"day": -1}}, "budget.day"),
        ({"name": "x", "budget": {"week": 1}}, "budget.week"),
        ({"name": "x", "expires": "soon"}, "expires"),
        ({"name": "x", "max_in_flight": 0}, "max_in_flight"),
    ],
)
def test_a_key_that_cannot_be_is_refused_by_name(site, body, param):
    error = admin(site, "POST", "/keys", body, status=400)["error"]
    assert error["param"] == param


def test_a_team_has_a_budget_that_its_keys_share(site):
    admin(site, "PUT", "/teams/tiny", {"budget": {"day": 0.0000001}})
    made = [
        admin(site, "POST", "/keys", {"name": n, "team": "tiny"}, status=201) for n in ("t1", "t2")
    ]
    until = time.monotonic() + 10
    while (got := site.post("/v1/chat/completions", HELLO, key=made[0]["key"])).status_code == 200:
        assert time.monotonic() < until
        time.sleep(0.1)
    assert got.json()["error"]["code"] == "budget_exceeded"
    team = admin(site, "GET", "/teams/tiny")
    assert team["keys"] == ["t1", "t2"]
    assert site.get("/v1/me", key=made[1]["key"]).json()["team"] == "tiny"


def test_requests_are_told_without_what_they_said(site):
    site.post("/v1/chat/completions", HELLO, key=PLAIN, headers={"X-Request-Id": "looked-at"})
    until = time.monotonic() + 15
    while True:
        found = admin(site, "GET", "/requests?limit=500")["data"]
        row = next((r for r in found if r["request_id"] == "looked-at"), None)
        if row is not None:
            break
        assert time.monotonic() < until
        time.sleep(0.2)
    assert (row["key"], row["status"], row["model"]) == ("plain", 200, "doubao")
    assert row["ms"] > 0
    assert row["cost"] > 0
    assert "messages" not in str(row)


def test_jobs_and_models_are_listed(site):
    site.post("/v1/images/generations", {"prompt": "a fox"}, key=PLAIN)
    job = admin(site, "GET", "/jobs")["data"][0]
    assert (job["key"], job["status"], job["kind"]) == ("plain", "completed", "image")
    assert job["cost"] > 0
    models = {row["id"]: row for row in admin(site, "GET", "/models")["data"]}
    assert models["doubao-image"]["routes"][0]["price"]["image"] > 0
