"""Costs, budgets and usage, as callers and operators see them."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

ADMIN = "admin-key-0123456789"
TEAM = "design-key-0123456789"
OTHER = "other-key-0123456789"
POOR = "poor-key-0123456789"
LOST = "lost-key-0123456789"
BUSY = "busy-key-0123456789"
TOML = f"""
[prices."doubao-seed-*"]
currency = "CNY"
input = 1000.0
output = 2000.0
[prices."doubao-seedream-*"]
currency = "CNY"
image = 2.0
[prices."doubao-seedance-*"]
currency = "CNY"
video_token = 1000.0

[budget]
rates = {{ CNY = 0.5 }}

[teams.design]
budget = {{ month = 1000 }}

[[keys]]
name = "designer"
key = "{TEAM}"
team = "design"
budget = {{ day = 500 }}

[[keys]]
name = "other"
key = "{OTHER}"

[[keys]]
name = "poor"
key = "{POOR}"
budget = {{ month = 6 }}

[[keys]]
name = "lost"
key = "{LOST}"
budget = {{ month = 1000 }}

[[keys]]
name = "busy"
key = "{BUSY}"
max_in_flight = 2
"""
CHAT = {"model": "doubao", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 100}
PICTURE = {"model": "doubao-image", "prompt": "a fox", "n": 2}


@pytest.fixture(scope="module")
def priced(gateway_factory):
    with gateway_factory.started(
        toml=TOML, GATEWAY_ADMIN_KEYS=f"root={ADMIN}", GATEWAY_POOL_ACCESS="keys"
    ) as running:
        yield running


FAILING = (
    TOML
    + """
[[accounts]]
name = "filtered"
upstream = "ark"
credential = "ark-filtered"
models = ["doubao-seedream-4-5-251128"]
[[accounts]]
name = "broken"
upstream = "ark"
credential = "ark-broken"
models = ["doubao-seed-1-6-251015"]
[[accounts]]
name = "failed"
upstream = "ark"
credential = "ark-failed"
models = ["doubao-seedance-1-0-pro-250528"]
[[accounts]]
name = "lost"
upstream = "ark"
credential = "ark-lost"
models = ["doubao-seedance-2-0-260128"]
"""
)


@pytest.fixture(scope="module")
def failing(gateway_factory):
    with gateway_factory.started(toml=FAILING, accounts=False) as running:
        yield running


def cost_of(usage):
    """By the table above: per million tokens, in units of half a CNY."""
    return (usage["prompt_tokens"] * 1000 + usage["completion_tokens"] * 2000) / 1e6 * 0.5


def settled(gateway, key, **wanted):
    """The caller's report, once usage has been written."""
    until = time.monotonic() + 20
    while True:
        found = gateway.get("/v1/usage", key=key, params=wanted).json()["data"]
        if found or time.monotonic() > until:
            return found
        time.sleep(0.2)


def test_an_answer_says_what_it_cost(priced):
    got = priced.post("/v1/chat/completions", CHAT, key=OTHER)
    usage = got.json()["usage"]
    assert got.headers["X-Gateway-Cost-Basis"] == "vendor"
    assert float(got.headers["X-Gateway-Cost"]) == pytest.approx(cost_of(usage), abs=1e-9)
    assert usage["cost"] == pytest.approx(cost_of(usage), abs=1e-9)


def test_a_stream_says_it_in_its_usage(priced):
    asked = CHAT | {"stream": True, "stream_options": {"include_usage": True}}
    got = priced.post("/v1/chat/completions", asked, key=OTHER)
    chunk = next(line for line in got.text.splitlines() if '"cost"' in line)
    assert '"choices":[]' in chunk


def test_images_and_videos_are_priced(priced):
    got = priced.post("/v1/images/generations", PICTURE, key=OTHER)
    assert got.status_code == 200, got.text
    assert float(got.headers["X-Gateway-Cost"]) == 2.0  # two images of 2 CNY
    film = priced.post("/v1/video/generations", {"prompt": "waves"}, key=OTHER)
    tokens = film.json()["usage"]["completion_tokens"]
    assert float(film.headers["X-Gateway-Cost"]) == pytest.approx(tokens * 1000 / 1e6 * 0.5)


def test_a_model_without_a_price_has_an_unknown_cost(priced):
    got = priced.post("/v1/chat/completions", CHAT | {"model": "test-model"}, key=OTHER)
    assert got.headers["X-Gateway-Cost-Basis"] == "unknown"
    assert "X-Gateway-Cost" not in got.headers


def test_a_dry_run_tells_the_range(priced):
    dry = {"X-Gateway-Dry-Run": "1"}
    got = priced.post("/v1/chat/completions", CHAT, key=OTHER, headers=dry).json()["cost"]
    assert (got["currency"], got["basis"]) == ("USD", "estimated")
    assert 0 < got["low"] < got["high"]
    assert got["high"] - got["low"] == pytest.approx(100 * 2000 / 1e6 * 0.5)
    image = priced.post("/v1/images/generations", PICTURE, key=OTHER, headers=dry).json()["cost"]
    assert image["high"] == 2.0


def test_what_is_left_of_a_budget_is_told(priced):
    before = priced.get("/v1/me", key=TEAM).json()["budgets"]
    got = priced.post("/v1/chat/completions", CHAT, key=TEAM)
    cost, left = float(got.headers["X-Gateway-Cost"]), got.headers["X-Gateway-Budget-Remaining"]
    after = {b["budget"]: b for b in priced.get("/v1/me", key=TEAM).json()["budgets"]}
    assert set(after) == {"key:designer", "team:design"}
    for budget in before:
        assert after[budget["budget"]]["left"] == pytest.approx(budget["left"] - cost)
        assert after[budget["budget"]]["reserved"] == 0
    assert float(left) == pytest.approx(after["key:designer"]["left"])


def test_a_budget_is_never_passed_by_calls_at_once(priced):
    """An image costs 1 of 6: of ten at once six are made, and the vendor makes no others."""
    one = PICTURE | {"n": 1}
    with ThreadPoolExecutor(10) as pool:
        answers = list(
            pool.map(lambda _: priced.post("/v1/images/generations", one, key=POOR), range(10))
        )
    made = [a for a in answers if a.status_code == 200]
    refused = [a for a in answers if a.status_code == 429]
    assert (len(made), len(refused)) == (6, 4)
    error = refused[0].json()["error"]
    assert (error["code"], error["type"]) == ("budget_exceeded", "rate_limit_error")
    assert 0 < int(refused[0].headers["Retry-After"]) <= 31 * 86400
    assert refused[0].headers["x-should-retry"] == "false"
    mine = {b["span"]: b for b in priced.get("/v1/me", key=POOR).json()["budgets"]}
    assert (mine["month"]["spent"], mine["month"]["reserved"], mine["month"]["left"]) == (6, 0, 0)


def lefts(gateway, key):
    return [b["left"] for b in gateway.get("/v1/me", key=key).json()["budgets"]]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/images/generations", {"model": "ark/doubao-seedream-4-5-251128", "prompt": "a"}),
        ("/v1/video/generations", {"model": "ark/doubao-seedance-1-0-pro-250528", "prompt": "a"}),
        ("/v1/chat/completions", CHAT | {"model": "ark/doubao-seed-1-6-251015"}),
    ],
)
def test_a_failure_gives_everything_back(failing, path, body):
    before = lefts(failing, TEAM)
    got = failing.post(path, body, key=TEAM)
    assert got.status_code >= 400
    assert lefts(failing, TEAM) == before == [500, 1000]


def test_an_unknown_outcome_keeps_its_reservation(failing):
    """The vendor hung up while it was accepting the job: it may run, and be billed, there."""
    body = {"model": "ark/doubao-seedance-2-0-260128", "prompt": "a"}
    mine = failing.get("/v1/me", key=LOST).json()["budgets"][0]
    got = failing.post("/v1/video/generations", body, key=LOST)
    assert got.json()["error"]["code"] == "outcome_unknown", got.text
    after = failing.get("/v1/me", key=LOST).json()["budgets"][0]
    assert after["reserved"] > mine["reserved"]
    assert after["spent"] == mine["spent"] == 0


def test_requests_of_a_key_at_once_are_bounded(priced):
    slow = CHAT | {"messages": [{"role": "user", "content": "hi !slow"}]}
    film = {"prompt": "waves !slow"}
    with ThreadPoolExecutor(6) as pool:
        answers = list(
            pool.map(lambda _: priced.post("/v1/video/generations", film, key=BUSY), range(6))
        )
    statuses = sorted(a.status_code for a in answers)
    assert statuses.count(429) >= 1
    assert statuses.count(200) >= 2
    over = next(a for a in answers if a.status_code == 429)
    assert over.json()["error"]["code"] == "rate_limit_exceeded"
    assert priced.post("/v1/chat/completions", slow, key=BUSY).status_code == 200


def test_usage_shows_a_key_its_own_and_operators_all(priced):
    priced.post("/v1/chat/completions", CHAT, key=TEAM)
    priced.post("/v1/chat/completions", CHAT, key=OTHER)
    mine = settled(priced, TEAM, group_by="key,model")
    assert {row["key"] for row in mine} == {"designer"}
    assert mine[0]["cost"] > 0
    time.sleep(2.5)
    everyone = settled(priced, ADMIN, group_by="key")
    assert {"designer", "other"} <= {row["key"] for row in everyone}
    teams = settled(priced, ADMIN, group_by="team")
    assert {"design", "(no team)"} == {row["team"] for row in teams}
    assert sum(row["cost"] for row in teams) == pytest.approx(
        sum(row["cost"] for row in settled(priced, ADMIN, group_by="key"))
    )


@pytest.mark.parametrize(
    ("asked", "param"), [({"group_by": "colour"}, "group_by"), ({"since": "soon"}, "since")]
)
def test_a_report_that_cannot_be_made_names_the_parameter(priced, asked, param):
    got = priced.get("/v1/usage", key=OTHER, params=asked)
    assert (got.status_code, got.json()["error"]["param"]) == (400, param)


def test_clients_that_ask_elsewhere_find_costs_and_a_subscription(priced):
    priced.post("/v1/chat/completions", CHAT, key=OTHER)
    assert settled(priced, OTHER)
    page = priced.get("/v1/organization/costs", key=OTHER, params={"start_time": "7d"}).json()
    values = [r["amount"]["value"] for bucket in page["data"] for r in bucket["results"]]
    assert page["object"] == "page"
    assert sum(values) > 0
    billed = priced.get("/v1/dashboard/billing/usage", key=OTHER).json()["total_usage"]
    assert billed == pytest.approx(sum(values) * 100, rel=0.2)
    plan = priced.get("/dashboard/billing/subscription", key=TEAM).json()
    assert plan["hard_limit_usd"] == 1000
