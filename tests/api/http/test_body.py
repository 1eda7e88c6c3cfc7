"""Bodies that a JSON parser would choke on, or would take and the gateway could not."""

from __future__ import annotations

import orjson
import pytest
import requests

from gateway.domain.errors import InvalidRequest
from gateway.net.codecs.json_limits import check_values
from tests.support.media import data_url, png

ASK = {"model": "test-model", "messages": [{"role": "user", "content": "Hi"}]}
CHAT, IMAGES, VIDEO = "/v1/chat/completions", "/v1/images/generations", "/v1/video/generations"
UPSTREAMS = ("test-model", "doubao", "gemini-3.8-flash", "gemini-enterprise")


def sent(gateway, path, body, **headers):
    headers = {"Content-Type": "application/json", **headers}
    return requests.post(gateway.url + path, data=body, headers=headers, timeout=30)


def nested(depth, *, opening=b"[", closing=b"]", middle=b""):
    return opening * depth + middle + closing * depth


def refusal(answer):
    assert answer.status_code == 400, answer.text[:300]
    error = answer.json()["error"]
    return error["code"], error["param"]


@pytest.mark.parametrize("path", [CHAT, IMAGES, VIDEO, "/v1/videos"])
@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b'{"a": ' + nested(250) + b"}", "invalid_json"),
        (b'{"a": ' + nested(1000) + b"}", "invalid_json"),
        (b'{"a": ' + nested(1500) + b"}", "invalid_json"),
        (nested(800, opening=b'{"a":', closing=b"}", middle=b"1"), "invalid_json"),
        (b'{"a":' * 50_000, "invalid_json"),
        (b'{"a": [' + b",".join([b"[]"] * 250_000) + b"]}", "too_many_values"),
        (b"{" + b",".join(b'"%d":1' % n for n in range(250_000)) + b"}", "too_many_values"),
        (b'{"a": ["' + b'","'.join([b"\\\\"] * 250_000) + b'"]}', "too_many_values"),
    ],
    ids=["250", "1000", "1500", "objects", "unclosed", "lists", "keys", "strings"],
)
def test_a_body_with_more_structure_than_any_request_has(gateway, path, body, code):
    assert refusal(sent(gateway, path, body)) == (code, None)


@pytest.mark.parametrize("text", ["1,2," * 100_000, '"a", ' * 100_000, "\\, " * 100_000])
def test_a_text_full_of_commas_is_no_structure(gateway, text):
    body = ASK | {"messages": [{"role": "user", "content": text}]}
    assert sent(gateway, CHAT, orjson.dumps(body)).status_code == 200


@pytest.mark.parametrize("shift", range(4))
@pytest.mark.parametrize("repeated", ["\\,", '",', '\\",', "\\\\,", ',"'])
def test_large_texts_full_of_commas_are_no_structure(repeated, shift):
    strings = ["x" * shift, repeated * 300_000] * 2
    check_values(orjson.dumps(strings))
    with pytest.raises(InvalidRequest):
        check_values(orjson.dumps([strings, [7] * 200_000]))


@pytest.mark.parametrize("header", ["X-Nothing", "X-Gateway-Dry-Run", "Idempotency-Key"])
@pytest.mark.parametrize("attachment", [0, 1_000_000])
@pytest.mark.parametrize("model", UPSTREAMS)
def test_what_is_nested_less_deeply_comes_through(gateway, model, attachment, header):
    turn = {"role": "user", "content": [{"type": "text", "text": "Hi"}]}
    if attachment:
        picture = {"url": data_url(png() + bytes(attachment))}
        turn["content"].append({"type": "image_url", "image_url": picture})
    body = orjson.dumps({"model": model, "messages": [turn], "metadata": {}})
    deep = body.replace(b"{}", nested(200, opening=b'{"a":', closing=b"}", middle=b"{}"))
    answer = sent(
        gateway, CHAT, deep, **{header: "1" if "Run" in header else f"{model}{attachment}"}
    )
    assert answer.status_code == 200


def test_many_messages_and_tools_are_counted(gateway):
    message, tool = ASK["messages"][0], {"type": "function", "function": {"name": "f"}}
    many = orjson.dumps(ASK | {"messages": [message] * 50_000})
    assert refusal(sent(gateway, CHAT, many)) == ("too_many_messages", "messages")
    many = orjson.dumps(ASK | {"tools": [tool] * 50_000})
    assert refusal(sent(gateway, CHAT, many)) == ("too_many_tools", "tools")


@pytest.mark.parametrize("model", UPSTREAMS)
@pytest.mark.parametrize(
    ("field", "param"),
    [
        ({"tool_choice": {"function": 7}}, "tool_choice.function"),
        ({"tool_choice": {"function": {"name": []}}}, "tool_choice.function.name"),
        ({"tool_choice": {"allowed_tools": 7}}, "tool_choice.allowed_tools"),
        ({"tool_choice": {"allowed_tools": {"tools": 7}}}, "tool_choice.allowed_tools.tools"),
        (
            {"tool_choice": {"allowed_tools": {"tools": [{}, 7]}}},
            "tool_choice.allowed_tools.tools[1]",
        ),
        (
            {"tool_choice": {"allowed_tools": {"tools": [{"function": "f"}]}}},
            "tool_choice.allowed_tools.tools[0].function",
        ),
        ({"tools": [{"function": []}]}, "tools[0].function"),
        ({"tools": [{"function": {"name": {}}}]}, "tools[0].function.name"),
        ({"tools": [{"function": {"parameters": "{}"}}]}, "tools[0].function.parameters"),
        ({"response_format": {"type": {}}}, "response_format.type"),
        ({"response_format": {"json_schema": "x"}}, "response_format.json_schema"),
        ({"response_format": {"json_schema": {"schema": 1}}}, "response_format.json_schema.schema"),
        ({"thinking": {"type": []}}, "thinking.type"),
        ({"thinking": {"budget_tokens": "many"}}, "thinking.budget_tokens"),
        ({"image_config": {"aspect_ratio": {}}}, "image_config.aspect_ratio"),
        ({"image_config": {"imageSize": 7}}, "image_config.imageSize"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_value_inside_a_parameter_is_named_for_every_vendor(gateway, model, field, param):
    tools = {"tools": [{"type": "function", "function": {"name": "f"}}]}
    answer = sent(gateway, CHAT, orjson.dumps(ASK | {"model": model} | tools | field))
    assert refusal(answer) == ("invalid_value", param)


LARGE = data_url(b"\xff\xfe" * 600_000, "image/png")
READ_IT = {"role": "user", "content": "Read it"}


def asking(*turns, **fields):
    return ASK | {"messages": [*turns], **fields}


@pytest.mark.parametrize(
    "body",
    [
        asking({"role": "user", "content": LARGE}),
        asking({"role": "user", "content": [{"type": "text", "text": LARGE}]}),
        asking({"role": "user", "content": [LARGE]}),
        asking(
            {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "see"}}]},
            {"role": "tool", "tool_call_id": "c", "content": LARGE},
        ),
        asking(READ_IT, metadata={"url": LARGE}),
        asking(READ_IT, tools=[{"type": "function", "function": {"name": "a", "url": LARGE}}]),
    ],
    ids=["content", "text", "bare", "tool", "metadata", "tools"],
)
def test_a_large_data_url_in_a_text_is_text(gateway, body):
    answer = gateway.post(CHAT, body, headers={"X-Gateway-Dry-Run": "1"})
    assert answer.status_code == 200, answer.text[:300]
    assert "data:;sha256" not in answer.text
    assert len(answer.content) > 1_500_000


def test_a_large_data_url_is_as_long_as_it_is(gateway):
    answer = gateway.post(IMAGES, {"prompt": LARGE, "model": "doubao-image"})
    assert refusal(answer) == ("invalid_value", "prompt")


def test_a_large_data_url_where_nobody_reads_it_is_dropped(gateway):
    answer = gateway.post(CHAT, asking(READ_IT, files=[{"url": LARGE}]))
    assert answer.status_code == 200
    assert answer.headers["X-Gateway-Dropped-Params"] == "files"
