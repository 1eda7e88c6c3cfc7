"""Names of models: those configured, those of vendors, and those that are neither."""

from __future__ import annotations

from urllib.parse import quote

import pytest

TOML = """
[models."fast"]
kind = "chat"
routes = [{ upstream = "openai", model = "tiny" }, { upstream = "ark", model = "ep-1" }]

[models."Team Chat"]
kind = "chat"
routes = [{ upstream = "ark", model = "doubao-seed-1-8-251228" }]

[[accounts]]
name = "only"
upstream = "ark"
credential = "ark-only"
models = ["Team Chat", "doubao-image"]
"""


@pytest.mark.parametrize(
    ("name", "upstream"),
    [
        ("doubao", "ark"),
        ("DOUBAO", "ark"),
        (" doubao ", "ark"),
        ("doubao:latest", "ark"),
        ("test-model", "openai"),
        ("openai/test-model", "openai"),
        ("openai/meta-llama/Llama-3.3-70B:free", "openai"),
        ("ark/doubao-seed-1-6-251015", "ark"),
        ("doubao-seed-1-6-251015", "ark"),
        ("ep-20260101-abcde", "ark"),
        ("gemini-3.5-flash", "gemini"),
        ("gemini-enterprise", "gemini-enterprise"),
        ("gemini-3-pro-preview", "gemini-enterprise"),
    ],
)
def test_a_model_is_served_by_its_vendor(gateway, name, upstream):
    answer = gateway.chat(model=name)
    assert answer.status_code == 200, answer.text
    assert answer.headers["X-Gateway-Upstream"] == upstream
    assert answer.json()["model"] == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "gpt-99",
        "ark/",
        "/doubao",
        "openai//x",
        "gemini/../x",
        "gemini/a?b=c#d",
        "gemini-2.5 flash",
        "gemini-模型",
        "doubao-\r\nx: y",
        "ark/../../x",
        "elsewhere/doubao",
    ],
)
def test_what_is_no_model_goes_nowhere(gateway, simulators, name):
    for key in ("ark-no-model", "AIza-no-model", "sk-no-model"):
        error = gateway.chat(model=name, key=key).json()["error"]
        assert (error["code"], error["param"]) == ("model_not_found", "model")
        assert simulators.calls(key) == 0


@pytest.mark.parametrize("name", ["gpt-99", "elsewhere/doubao", "gemini/a?b", "gemini-模型"])
def test_what_is_no_model_is_not_found(gateway, name):
    answer = gateway.get(f"/v1/models/{quote(name, safe='')}")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "model_not_found")


def test_the_list_is_openais_with_kinds(gateway):
    models = {m["id"]: m for m in gateway.get("/v1/models").json()["data"]}
    assert {"doubao", "doubao-image", "doubao-video", "Seedream 4.0", "test-model"} <= set(models)
    for model in models.values():
        assert model["object"] == "model"
        assert isinstance(model["created"], int)
        assert model["kind"] in ("chat", "image", "video")
    assert models["gemini-3-pro-preview"]["upstreams"] == ["gemini-enterprise", "gemini"]


@pytest.mark.parametrize(
    "path", ["Seedream%204.0", "seedream 4.0", "ark%2Fdoubao-seed", "ark/doubao-seed", "ep-1"]
)
def test_one_model_by_any_of_its_names(gateway, path):
    assert gateway.get(f"/v1/models/{path}").json()["object"] == "model"


def test_own_models_and_accounts_with_few_models(gateway_factory):
    with gateway_factory.started(accounts=False, workers=1, toml=TOML) as gateway:
        listed = [model["id"] for model in gateway.get("/v1/models").json()["data"]]
        assert sorted(listed) == ["Team Chat", "doubao-image"]
        answer = gateway.chat(model="team chat", presence_penalty=1)
        assert answer.headers["X-Gateway-Account"] == "only"
        assert answer.headers["X-Gateway-Dropped-Params"] == "presence_penalty"
        assert gateway.chat(model="doubao").json()["error"]["code"] == "model_not_found"
        assert gateway.chat(model="fast").json()["error"]["code"] == "model_not_found"
        assert gateway.get("/v1/models/fast").status_code == 404


def test_a_model_that_one_account_lacks_is_made_by_another(gateway_factory):
    upstreams = {
        "ARK_API_KEYS": "ark-unopened-here,ark-opened-here",
        "OPENAI_API_KEYS": "sk-unopened-here,sk-opened-here",
    }
    with gateway_factory.started(workers=1, **upstreams) as gateway:
        for name in ("doubao", "test-model"):
            answers = [gateway.chat(model=name) for _ in range(24)]
            assert [answer.status_code for answer in answers] == [200] * 24
            assert {answer.headers["X-Gateway-Attempts"] for answer in answers} == {"1", "2"}
        for path in ("images", "video"):
            assert gateway.post(f"/v1/{path}/generations", {"prompt": "a"}).status_code == 200
        alone = gateway.chat(model="doubao", key="ark-unopened-own")
        assert (alone.status_code, alone.json()["error"]["code"]) == (404, "model_not_found")
        assert alone.json()["error"]["param"] == "model"


def test_an_own_credential_sees_what_its_vendor_serves(gateway):
    listed = {m["id"]: m for m in gateway.get("/v1/models", key="sk-my-own-key").json()["data"]}
    assert "test-model" in listed
    assert "doubao" not in listed


def test_a_model_tells_what_is_known_of_it(gateway):
    image = gateway.get("/v1/models/doubao-image").json()
    assert image["capabilities"]["sizes"] == ["2K", "3K", "4K"]
    assert image["capabilities"]["references"] == {"image": 14}
    assert "group" in image["capabilities"]["parameters"]["taken"]
    assert image["capabilities"]["source"].startswith("https://")
    old = gateway.get("/v1/models/gemini/gemini-3-pro-preview").json()
    assert (old["shutdown_date"], old["successor"]) == ("2026-03-09", "gemini-3.1-pro-preview")
    assert old["served_by"] == "gemini-3.1-pro-preview"


def test_a_model_without_a_row_says_so(gateway):
    got = gateway.get("/v1/models/test-model")
    assert got.headers["X-Gateway-Model-Known"] == "no"
    assert got.json()["capabilities"] is None
