"""The reference is made from what validates, so it must say what the gateway does."""

from __future__ import annotations

import re
import subprocess

import pytest
import requests
import schemathesis
from flask import Flask
from jsonschema_rs import ValidationError

from gateway.api import ENDPOINTS, console
from gateway.api.endpoints import unsupported
from gateway.api.endpoints.openapi import examples
from tests.support.process import BIN


def routes_of(blueprint):
    app = Flask("routes", static_folder=None)
    app.register_blueprint(blueprint)
    undescribed = (unsupported.bp, console.bp)
    return [] if blueprint in undescribed else app.url_map.iter_rules()


def test_the_reference_is_an_openapi_document(gateway):
    document = gateway.get("/openapi.json").json()
    try:
        schemathesis.openapi.from_dict(document).validate()
    except ValidationError as err:
        pytest.fail(str(err))
    served = {"/v1/chat/completions", "/v1/images/generations", "/v1/video/generations"}
    assert served | {"/v1/videos", "/v1/files", "/v1/models"} <= set(document["paths"])


def test_the_reference_has_every_route_with_a_summary(gateway):
    routes = {
        (re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", rule.rule), method.lower())
        for endpoint in ENDPOINTS
        for rule in routes_of(endpoint.bp)
        if not rule.websocket
        for method in (rule.methods or {"GET"}) & {"GET", "POST", "PUT", "PATCH", "DELETE"}
    }
    operations = {
        (path, method): operation
        for path, methods in gateway.get("/openapi.json").json()["paths"].items()
        for method, operation in methods.items()
    }
    assert set(operations) == routes
    assert all(operation["summary"] for operation in operations.values())


def test_the_reference_says_what_is_required_and_whether_keys_are(gateway, gateway_factory):
    document = gateway.get("/openapi.json").json()
    schemas = document["components"]["schemas"]
    edit = document["paths"]["/v1/images/edits"]["post"]["requestBody"]["content"]
    assert schemas["ImageEdit"]["required"] == ["prompt"]
    form = edit["multipart/form-data"]["schema"]["allOf"][1]
    assert form["required"] == ["image"]
    assert form["properties"]["mask"]["format"] == "binary"
    assert schemas["ImageRequest"]["properties"]["n"]["maximum"] == 10
    assert (
        "tool"
        in schemas["ChatRequest"]["properties"]["messages"]["items"]["properties"]["role"]["enum"]
    )
    answers = document["paths"]["/v1/chat/completions"]["post"]["responses"]["200"]["content"]
    assert set(answers) == {"application/json", "text/event-stream"}
    assert {} in document["security"]
    with gateway_factory.started(GATEWAY_POOL_ACCESS="keys", workers=1) as closed:
        assert {} not in closed.get("/openapi.json").json()["security"]


def test_the_page_needs_nothing_from_elsewhere(gateway):
    page = gateway.get("/docs")
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    assert re.findall(r'(?:src|href)="(?![/#])[^"]*"', page.text) == []
    for path in set(re.findall(r'(?:src|href)="(/console/static/[^"]+)"', page.text)):
        assert gateway.get(path).status_code == 200
    for path in gateway.get("/openapi.json").json()["paths"]:
        assert path in page.text


def test_no_request_that_the_reference_allows_makes_the_gateway_fail(gateway, tmp_path):
    """Every failure also has the envelope: it is the schema of all answers but good ones."""
    command = [str(BIN / "schemathesis"), "run", f"{gateway.url}/openapi.json", "--no-color"]
    bounds = ["--phases=coverage,fuzzing", "--max-examples=8", "--max-time=15", "--seed=1"]
    checks = "not_a_server_error,response_schema_conformance,content_type_conformance"
    checks = [f"--checks={checks},ignored_auth"]
    ended = subprocess.run(
        [*command, *bounds, *checks], cwd=tmp_path, capture_output=True, text=True, timeout=90
    )
    assert ended.returncode == 0, ended.stdout[-4000:]


@pytest.mark.parametrize("path", ["/v1/images/edits", "/v1/videos", "/v1/files"])
def test_a_part_without_a_name_means_nothing(gateway, path):
    part = b"--b\r\nContent-Disposition: form-data%s\r\n\r\nx\r\n"
    body = part % b"" + part % b'; filename="a.png"' + b"--b--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = requests.post(gateway.url + path, data=body, headers=headers, timeout=10)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "missing_field")


def test_a_picture_of_a_form_may_be_a_link(gateway, media_server):
    form = {"prompt": "blue", "image": f"{media_server.url}/linked.png"}
    files = {"image": ("a.png", requests.get(form["image"], timeout=10).content)}
    headers = {"X-Gateway-Dry-Run": "1"}
    answer = requests.post(
        f"{gateway.url}/v1/images/edits", data=form, files=files, headers=headers, timeout=20
    )
    assert len(answer.json()["requests"][0]["body"]["image"]) == 2


@pytest.mark.parametrize("asked", ["bytes=99999999-", "bytes=0-1,4-5", "bytes=5-1"])
def test_a_range_that_is_not_there(gateway, asked):
    url = gateway.post("/v1/images/generations", {"prompt": "a cat"}).json()["data"][0]["url"]
    answer = requests.get(url, headers={"Range": asked}, timeout=10)
    assert answer.status_code == 416
    assert answer.json()["error"]["code"] == "range_not_satisfiable"
    assert answer.headers["Content-Range"].startswith("bytes */")
    assert answer.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("path", list(examples()))
def test_the_examples_are_answered_as_they_say(gateway, path):
    example = examples()[path]
    got = gateway.post(path, example["request"], timeout=90)
    assert got.status_code == 200, got.text
    assert example["answer"].keys() <= got.json().keys()
    answered = example["answer"].get("choices", example["answer"].get("output"))
    if answered:
        real = got.json().get("choices", got.json().get("output"))
        assert answered[-1].keys() <= real[-1].keys()
