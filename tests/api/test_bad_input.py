"""What is wrong with a request is said in OpenAI's envelope, and no vendor hears of it."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import pytest
import requests

from tests.support.media import data_url, png

ASK = {"model": "test-model", "messages": [{"role": "user", "content": "Hi"}]}
CHAT, IMAGES, VIDEO = "/v1/chat/completions", "/v1/images/generations", "/v1/video/generations"


def refused(answer, status, code, param=None):
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["X-Request-Id"]
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert (error["code"], error["param"]) == (code, param)
    assert error["message"]
    return error


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b'{"a": 1,}',
        b'{"model": NaN}',
        b"[]",
        b'"text"',
        b"null",
        b"\xef\xbb\xbf{}",
        b'{"model": "\xff"}',
        b'{"model": "\\ud800"}',
        b"[" * 5000,
        '{"model": "x"}'.encode("utf-16"),
    ],
)
@pytest.mark.parametrize("path", [CHAT, IMAGES, VIDEO, "/v1/videos"])
def test_a_body_that_is_no_json_object(gateway, path, body):
    answer = requests.post(
        gateway.url + path, data=body, headers={"Content-Type": "application/json"}, timeout=10
    )
    refused(answer, 400, "invalid_json")


@pytest.mark.parametrize(
    ("path", "body", "code", "param"),
    [
        (CHAT, {}, "missing_field", "model"),
        (CHAT, {"model": "test-model"}, "missing_field", "messages"),
        (CHAT, ASK | {"model": 7}, "invalid_value", "model"),
        (CHAT, ASK | {"messages": "hi"}, "invalid_value", "messages"),
        (CHAT, ASK | {"messages": []}, "invalid_value", "messages"),
        (CHAT, ASK | {"messages": [7]}, "invalid_value", "messages[0]"),
        (CHAT, ASK | {"messages": [{"content": "x"}]}, "missing_field", "messages[0].role"),
        (
            CHAT,
            ASK | {"messages": [{"role": "user", "content": 7}]},
            "invalid_value",
            "messages[0].content",
        ),
        (CHAT, ASK | {"stream": "yes"}, "invalid_value", "stream"),
        (CHAT, ASK | {"temperature": "hot"}, "invalid_value", "temperature"),
        (CHAT, ASK | {"temperature": 9}, "invalid_value", "temperature"),
        (CHAT, ASK | {"n": 0}, "invalid_value", "n"),
        (CHAT, ASK | {"n": "two"}, "invalid_value", "n"),
        (CHAT, ASK | {"max_tokens": 1.5}, "invalid_value", "max_tokens"),
        (CHAT, ASK | {"tools": [{"name": ""}]}, "missing_field", "tools[0].function.name"),
        (
            CHAT,
            ASK | {"tools": [{"name": "a"}], "tool_choice": {"function": {"x": 1}}},
            "missing_field",
            "tool_choice.function.name",
        ),
        (
            CHAT,
            ASK
            | {
                "tools": [{"name": "a"}],
                "tool_choice": {"type": "allowed_tools", "tools": [{"type": "function"}]},
            },
            "missing_field",
            "tool_choice.allowed_tools.tools[0].function.name",
        ),
        (CHAT, ASK | {"max_tokens": 0}, "invalid_value", "max_tokens"),
        (CHAT, ASK | {"max_tokens": 10**400}, "invalid_json", None),
        (CHAT, ASK | {"stop": 7}, "invalid_value", "stop"),
        (CHAT, ASK | {"tools": [7]}, "invalid_value", "tools"),
        (CHAT, ASK | {"tools": [{}] * 1001}, "too_many_tools", "tools"),
        (CHAT, ASK | {"seed": 10**20}, "invalid_value", "seed"),
        (CHAT, ASK | {"seed": 1e300}, "invalid_value", "seed"),
        (CHAT, ASK | {"max_tokens": 2**63}, "invalid_value", "max_tokens"),
        (
            CHAT,
            ASK | {"tools": [{"name": "a"}], "tool_choice": "perhaps"},
            "invalid_value",
            "tool_choice",
        ),
        (CHAT, ASK | {"media_format": "html"}, "invalid_value", "media_format"),
        (IMAGES, {}, "missing_field", "prompt"),
        (IMAGES, {"prompt": ""}, "invalid_value", "prompt"),
        (IMAGES, {"prompt": 7}, "invalid_value", "prompt"),
        (IMAGES, {"prompt": "a", "ratio": "7:5"}, "invalid_value", "ratio"),
        (IMAGES, {"prompt": "a", "size": "huge"}, "invalid_value", "size"),
        (IMAGES, {"prompt": "a", "n": 11}, "invalid_value", "n"),
        (IMAGES, {"prompt": "a", "response_format": "gif"}, "invalid_value", "response_format"),
        (IMAGES, {"prompt": "a", "image": 7}, "invalid_value", "image"),
        (IMAGES, {"prompt": "a", "model": "test-model"}, "invalid_value", "model"),
        (VIDEO, {}, "missing_field", "prompt"),
        (VIDEO, {"prompt": "a", "ratio": "7:5"}, "invalid_value", "ratio"),
        (VIDEO, {"prompt": "a", "duration": "long"}, "invalid_value", "duration"),
        (VIDEO, {"prompt": "a", "image": ["a", "b", "c"]}, "invalid_value", "image"),
        (VIDEO, {"prompt": "a", "model": "doubao"}, "invalid_value", "model"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_wrong_field_is_named(gateway, path, body, code, param):
    if param is None:  # a number that JSON allows and nothing can hold
        text = '{"model": "test-model", "messages": [], "max_tokens": 1e400}'
        refused(requests.post(gateway.url + path, data=text, timeout=10), 400, code)
        return
    refused(gateway.post(path, body), 400, code, param)


@pytest.mark.parametrize("path", [CHAT, IMAGES, VIDEO])
def test_an_unknown_model(gateway, path):
    body = ASK | {"model": "gpt-99", "prompt": "a"}
    refused(gateway.post(path, body), 404, "model_not_found", "model")


PART = "messages[0].content[1]"


@pytest.mark.parametrize(
    ("part", "code", "param"),
    [
        ({"type": "hologram"}, "unsupported_part", f"{PART}.type"),
        ({"type": "image_url"}, "missing_field", f"{PART}.image_url"),
        ({"type": "image_url", "image_url": {}}, "missing_field", f"{PART}.image_url.url"),
        ({"type": "image_url", "image_url": {"url": 7}}, "invalid_value", f"{PART}.image_url.url"),
        (
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,a!b"}},
            "invalid_base64",
            f"{PART}.image_url.url",
        ),
        (
            {"type": "image_url", "image_url": {"url": data_url(b"<svg xmlns='x'/>")}},
            "unsupported_media_type",
            f"{PART}.image_url.url",
        ),
        (
            {"type": "image_url", "image_url": {"url": "http://127.0.0.1:1/nobody.png"}},
            "invalid_image_url",
            f"{PART}.image_url.url",
        ),
        (
            {"type": "image_url", "image_url": {"url": "http://10.0.0.1/inside.png"}},
            "invalid_image_url",
            f"{PART}.image_url.url",
        ),
        (
            {"type": "image_url", "image_url": {"url": "file:///etc/passwd"}},
            "invalid_image_url",
            f"{PART}.image_url.url",
        ),
        ({"type": "file", "file": {"file_id": "file-none"}}, "not_found", f"{PART}.file.file_id"),
        ({"type": "text"}, "missing_field", f"{PART}.text"),
    ],
    ids=str,
)
@pytest.mark.parametrize("model", ["test-model", "gemini-enterprise"])
def test_a_bad_attachment_reaches_no_vendor(gateway, simulators, model, part, code, param):
    key = "sk-bad-attachment" if model == "test-model" else "ya29.bad-attachment"
    content = [{"type": "text", "text": "Look"}, part]
    body = {"model": model, "messages": [{"role": "user", "content": content}]}
    answer = gateway.post(CHAT, body, key=key)
    refused(answer, 404 if code == "not_found" else 400, code, param)
    assert simulators.calls(key) == 0


@pytest.mark.parametrize("name", ["missing.png", "page.html"])
def test_a_link_to_no_picture(gateway, media_server, name):
    url = f"{media_server.url}/{name}"
    answer = gateway.post(IMAGES, {"prompt": "a", "image": url}, key="ark-no-picture")
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "image"


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "not_found"),
        ("POST", "/nothing", 404, "not_found"),
        ("GET", CHAT, 405, "method_not_allowed"),
        ("PUT", IMAGES, 405, "method_not_allowed"),
        ("TRACE", CHAT, 405, "method_not_allowed"),
        ("DELETE", "/v1/models", 405, "method_not_allowed"),
        ("POST", "/v1/audio/speech", 404, "not_found"),
        ("POST", "/v1/images/variations", 404, "not_found"),
        ("GET", "/v1/jobs/unknown", 404, "not_found"),
        ("GET", "/v1/videos/unknown", 404, "not_found"),
        ("GET", "/v1/files/unknown", 404, "not_found"),
        ("GET", "/v1/media/unknown", 404, "not_found"),
        ("GET", "/v1/models/unknown", 404, "model_not_found"),
        ("GET", "/media/unknown.png", 403, "forbidden"),
        ("GET", "/media/..%2f..%2fetc%2fpasswd", 404, "not_found"),
    ],
)
def test_every_failure_has_the_envelope(gateway, method, path, status, code):
    answer = requests.request(method, gateway.url + path, timeout=10)
    assert answer.status_code == status, answer.text
    assert answer.json()["error"]["code"] == code
    assert (status == 405) == ("Allow" in answer.headers)


@pytest.mark.parametrize(
    ("path", "instead"),
    [
        ("/v1/audio/transcriptions", "input_audio"),
        ("/v1/audio/voices", "speech"),
        ("/v1/images/variations", "/v1/images/edits"),
        ("/v1/batches", "async"),
    ],
)
def test_what_is_not_served_is_told_what_is(gateway, path, instead):
    answer = gateway.post(path, {"model": "doubao", "prompt": "x"})
    error = refused(answer, 404, "not_found")
    assert path in error["message"]
    assert instead in error["message"]


@pytest.mark.parametrize("content", ["", None, [], [{"type": "text", "text": ""}]], ids=str)
def test_a_question_that_is_none_makes_no_session(gateway, simulators, content):
    key = "ya29.asks-nothing"
    turns = [{"role": "system", "content": ""}, {"role": "user", "content": content}]
    answer = gateway.post(CHAT, {"model": "gemini-enterprise", "messages": turns}, key=key)
    refused(answer, 400, "invalid_value", "messages[1].content")
    assert simulators.calls(key) == 0


@pytest.mark.parametrize("kind", ["application/xml", "application/x-www-form-urlencoded"])
def test_another_content_type(gateway, kind):
    answer = requests.post(
        gateway.url + CHAT, data=b"{}", headers={"Content-Type": kind}, timeout=10
    )
    refused(answer, 415, "unsupported_content_type")


def test_a_compressed_body(gateway):
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    answer = requests.post(gateway.url + CHAT, data=b"\x1f\x8b", headers=headers, timeout=10)
    refused(answer, 415, "unsupported_content_type")


@pytest.fixture(scope="module")
def small_gateway(gateway_factory):
    with gateway_factory.started(GATEWAY_MAX_BODY_MB="0.01", workers=1) as running:
        yield running


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
def test_a_body_over_the_limit(small_gateway, chunked):
    body = b'{"model": "' + b"x" * 20_000 + b'"}'
    data = (piece for piece in (body[:9000], body[9000:])) if chunked else body
    answer = requests.post(
        small_gateway.url + CHAT,
        data=data,
        headers={"Content-Type": "application/json"},
        timeout=10,
    )
    refused(answer, 413, "request_too_large")


def test_a_body_that_ends_early(gateway):
    target = urlsplit(gateway.url)
    with socket.create_connection((target.hostname, target.port), timeout=10) as client:
        client.sendall(
            b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b'Content-Length: 50\r\n\r\n{"a":1}'
        )
        client.shutdown(socket.SHUT_WR)
        answer = client.makefile("rb").read()
    assert answer == b"" or b" 400 " in answer.split(b"\r\n")[0]


def test_nulls_and_unknown_fields_are_as_if_absent(gateway):
    nothing = dict.fromkeys(
        ("temperature", "top_p", "max_tokens", "stream", "stream_options", "tools", "tool_choice")
    )
    body = ASK | nothing | {"user": None, "api_base": "http://127.0.0.1:1", "whatever": {"a": 1}}
    assert gateway.post(CHAT, body).status_code == 200


@pytest.mark.parametrize(
    "message",
    [
        {"role": "developer", "content": "Be kind"},
        {"role": "assistant", "content": None, "tool_calls": []},
        {"role": "assistant", "content": "x", "refusal": None, "audio": None, "images": []},
        {"role": "user", "content": [{"type": "text", "text": ""}]},
        {"role": "user", "content": [{"type": "input_text", "text": "x"}]},
        {"role": "user", "content": [{"type": "image_url", "image_url": data_url(png())}]},
        {"role": "user", "content": [{"type": "input_image", "image_url": data_url(png())}]},
        {"role": "user", "content": "x", "name": "Ann", "id": "1", "createdAt": 5},
    ],
    ids=str,
)
def test_what_clients_send_is_understood(gateway, message):
    body = ASK | {"messages": [message, {"role": "user", "content": "Hi"}]}
    assert gateway.post(CHAT, body).status_code == 200
