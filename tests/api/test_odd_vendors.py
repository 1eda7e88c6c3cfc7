"""Vendors that answer as public reports tell: what callers get, whole and streamed."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from PIL import Image

MODELS = {
    "openai": ("test-model", "sk-odd-"),
    "ark": ("doubao", "ark-odd-"),
    "gemini": ("gemini/gemini-3.5-flash", "AIza-odd-"),
    "gemini-enterprise": ("gemini-enterprise/gemini-enterprise", "ya29.odd-"),
}
IMAGES = {
    "openai": ("openai/gpt-image-2", "sk-odd-"),
    "gemini": ("gemini/gemini-3.1-flash-image", "AIza-odd-"),
}
TOOL = {"type": "function", "function": {"name": "now", "parameters": {"type": "object"}}}
EVERY = list(MODELS)
OF_OPENAI = ["openai", "ark"]
NOT_ENTERPRISE = [*OF_OPENAI, "gemini"]
modes = pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])


@dataclass
class Told:
    """An answer as its caller puts it together."""

    status: int
    text: str = ""
    finish: str | None = None
    message: dict[str, Any] = field(default_factory=dict)
    usage: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    complete: bool = False


def no_constant(name: str) -> None:
    raise AssertionError(f"{name} is not JSON")


@pytest.fixture
def told(gateway):
    def ask(vendor: str, words: str, *, stream: bool, **more: Any) -> Told:
        model, prefix = MODELS[vendor]
        got = gateway.chat("Hello", model=model, key=prefix + words, stream=stream, **more)
        if got.status_code != 200:
            return Told(got.status_code, error=got.json()["error"])
        return _streamed(got.content.decode()) if stream else _whole(got.text)

    return ask


def _whole(body: str) -> Told:
    answer = json.loads(body, parse_constant=no_constant)
    choice = answer["choices"][0]
    text = choice["message"]["content"] or ""
    return Told(
        200, text, choice["finish_reason"], choice["message"], answer["usage"], complete=True
    )


def _streamed(body: str) -> Told:
    told = Told(200)
    lines = [line[6:] for line in body.split("\n") if line.startswith("data: ")]
    told.complete = lines[-1] == "[DONE]"
    calls: dict[int, dict[str, Any]] = {}
    for line in lines[: -1 if told.complete else None]:
        chunk = json.loads(line, parse_constant=no_constant)
        told.error = chunk.get("error") or told.error
        told.usage = chunk.get("usage") or told.usage
        for choice in chunk.get("choices", ()):
            told.finish = choice["finish_reason"] or told.finish
            for name, value in choice["delta"].items():
                if name == "tool_calls":
                    _add_calls(calls, value)
                elif isinstance(value, str) and name != "role":
                    told.message[name] = told.message.get(name, "") + value
                elif value is not None:
                    told.message[name] = value
    told.text = told.message.get("content") or ""
    if calls:
        told.message["tool_calls"] = list(calls.values())
    return told


def _add_calls(calls: dict[int, dict[str, Any]], pieces: list[dict[str, Any]]) -> None:
    for piece in pieces:
        call = calls.setdefault(piece["index"], {**piece, "function": {"arguments": ""}})
        arguments = piece["function"].get("arguments") or ""
        call["function"]["arguments"] += arguments
        if name := piece["function"].get("name"):
            call["function"]["name"] = name


@modes
@pytest.mark.parametrize("vendor", EVERY)
def test_an_end_of_tomorrow_is_an_error_that_names_it(told, vendor, stream):
    answer = told(vendor, "newfinish", stream=stream)
    assert answer.error is not None
    assert not answer.complete
    assert answer.finish is None
    name = "suspended" if vendor == "gemini-enterprise" else "paused_by_policy"
    assert name in answer.error["message"].lower()


@modes
@pytest.mark.parametrize("vendor", NOT_ENTERPRISE)
def test_a_cut_answer_ends_for_its_length(told, vendor, stream):
    assert told(vendor, "continued", stream=stream).finish == "length"


@modes
@pytest.mark.parametrize("vendor", EVERY)
def test_an_error_amid_the_answer_is_the_end_of_it(told, vendor, stream):
    answer = told(vendor, "errorline", stream=stream)
    assert answer.error is not None
    assert not answer.complete


@pytest.mark.parametrize("vendor", OF_OPENAI)
def test_a_summary_is_not_said_twice(told, vendor):
    plain = told(vendor, "", stream=True)
    answer = told(vendor, "summary", stream=True)
    assert (answer.text, answer.finish) == (plain.text, "stop")
    assert answer.complete


@modes
@pytest.mark.parametrize("vendor", EVERY)
def test_an_emoji_in_two_halves_is_one(told, vendor, stream):
    answer = told(vendor, "halfchars", stream=stream)
    assert answer.complete
    if stream or vendor == "gemini-enterprise":
        assert " ok 😀 done" in answer.text
    else:  # in a whole answer there is but one half
        assert " ok \ufffd" in answer.text


@modes
@pytest.mark.parametrize("vendor", EVERY)
@pytest.mark.parametrize("words", ["nonfinite", "mislabelled", "gzipped"])
def test_an_odd_form_leaves_an_answer_as_it_is(told, vendor, words, stream):
    plain = told(vendor, "", stream=stream)
    answer = told(vendor, words, stream=stream)
    assert answer.complete
    assert (answer.text, answer.finish) == (plain.text, "stop")


@pytest.mark.parametrize("vendor", OF_OPENAI)
def test_a_stream_that_nobody_asked_for_is_put_together(told, vendor):
    plain = told(vendor, "", stream=False)
    assert told(vendor, "asevents", stream=False).text == plain.text


@modes
@pytest.mark.parametrize("vendor", OF_OPENAI)
def test_reasoning_counted_beside_the_completion_is_in_the_total(told, vendor, stream):
    usage = told(vendor, "thoughtsbeside", stream=stream, stream_options=STREAM_USAGE).usage
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    assert usage["completion_tokens"] > usage["completion_tokens_details"]["reasoning_tokens"] > 0


STREAM_USAGE = {"include_usage": True}


@modes
@pytest.mark.parametrize("vendor", NOT_ENTERPRISE)
def test_counts_in_text_are_numbers(told, vendor, stream):
    plain = told(vendor, "", stream=stream, stream_options=STREAM_USAGE)
    assert told(vendor, "textnumbers", stream=stream, stream_options=STREAM_USAGE).usage == (
        plain.usage
    )


@modes
@pytest.mark.parametrize("vendor", NOT_ENTERPRISE)
def test_sources_are_annotations(told, vendor, stream):
    [source] = told(vendor, "sources", stream=stream).message["annotations"]
    assert source["type"] == "url_citation"
    citation = {"url": "https://example.com/weather", "title": "Weather"}
    assert source["url_citation"] == citation | {"start_index": 0, "end_index": 4}


@modes
@pytest.mark.parametrize("vendor", NOT_ENTERPRISE)
def test_a_call_without_arguments_has_an_empty_object(told, vendor, stream):
    answer = told(vendor, "noargs", stream=stream, tools=[TOOL], tool_choice="required")
    [call] = answer.message["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == {}
    assert answer.finish == "tool_calls"


@modes
@pytest.mark.parametrize("vendor", ["openai"])
def test_reasoning_comes_back_with_the_result_of_a_tool(gateway, told, vendor, stream):
    answer = told(vendor, "thoughtful", stream=stream, tools=[TOOL], tool_choice="required")
    assert answer.message["reasoning_content"]
    message = {"role": "assistant", **answer.message}
    result = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "12"}
    model, prefix = MODELS[vendor]
    body = {
        "model": model,
        "messages": [{"role": "user", "content": "Hello"}, message, result],
        "stream": stream,
    }
    second = gateway.post("/v1/chat/completions", body, key=f"{prefix}thoughtful")
    assert second.status_code == 200, second.text
    del message["reasoning_content"]
    assert gateway.post("/v1/chat/completions", body, key=f"{prefix}thoughtful").status_code == 400


@pytest.mark.parametrize("vendor", OF_OPENAI)
def test_reasoning_comes_back_in_the_dialect_of_responses(gateway, vendor):
    model, prefix = MODELS[vendor]
    key = f"{prefix}thoughtful"
    tool = {"type": "function", "name": "now", "parameters": {"type": "object"}}
    include = ["reasoning.encrypted_content"]
    ask = {"model": model, "input": "Hello", "tools": [tool], "include": include}
    ask["tool_choice"] = "required"
    first = gateway.post("/v1/responses", ask, key=key).json()
    [call] = [item for item in first["output"] if item["type"] == "function_call"]
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "12"}
    hello = {"role": "user", "content": "Hello"}
    ask |= {"tool_choice": "auto"}
    ask["input"] = [hello, *first["output"], result]
    second = gateway.post("/v1/responses", ask, key=key)
    assert second.status_code == 200, second.text


@pytest.mark.parametrize("vendor", OF_OPENAI)
def test_reasoning_comes_back_in_the_dialect_of_messages(gateway, vendor):
    model, prefix = MODELS[vendor]
    key = f"{prefix}thoughtful"
    hello = {"role": "user", "content": "Hello"}
    tool = {"name": "now", "input_schema": {"type": "object"}}
    ask = {"model": model, "max_tokens": 500, "messages": [hello], "tools": [tool]}
    ask["tool_choice"] = {"type": "any"}
    first = gateway.post("/v1/messages", ask, key=key).json()
    [call] = [block for block in first["content"] if block["type"] == "tool_use"]
    result = {"type": "tool_result", "tool_use_id": call["id"], "content": "12"}
    turn = {"role": "assistant", "content": first["content"]}
    ask |= {"tool_choice": {"type": "auto"}}
    ask["messages"] = [hello, turn, {"role": "user", "content": [result]}]
    second = gateway.post("/v1/messages", ask, key=key)
    assert second.status_code == 200, second.text


@pytest.mark.parametrize("vendor", OF_OPENAI)
def test_a_server_that_refuses_stream_options_still_streams(told, vendor):
    assert told(vendor, "nostreamoptions", stream=True).complete


@modes
@pytest.mark.parametrize("vendor", EVERY)
def test_a_firewalls_page_is_about_the_request(told, vendor, stream):
    answer = told(vendor, "firewall", stream=stream)
    assert (answer.status, answer.error["code"]) == (400, "upstream_refused")
    assert "<" not in answer.error["message"]


@modes
@pytest.mark.parametrize("vendor", OF_OPENAI)
@pytest.mark.parametrize("form", ["aslist", "astext", "gzipped"])
def test_an_error_is_understood_in_every_envelope(told, vendor, form, stream):
    answer = told(vendor, f"overloaded-{form}", stream=stream)
    assert answer.status in (429, 503)
    assert "overload" in answer.error["message"]


@pytest.mark.parametrize("vendor", NOT_ENTERPRISE)
def test_a_kept_connection_that_ends_unanswered_is_the_callers_no_concern(told, vendor):
    assert [told(vendor, "unkept", stream=False).status for _ in range(4)] == [200] * 4


@pytest.mark.parametrize("vendor", IMAGES)
@pytest.mark.parametrize("words", ["urlsafe", "linebreaks", "dataurl", "oneobject"])
def test_a_paid_image_is_read_in_any_wrapping(gateway, vendor, words):
    model, prefix = IMAGES[vendor]
    body = {"model": model, "prompt": "a cat", "response_format": "b64_json"}
    got = gateway.post("/v1/images/generations", body, key=prefix + words)
    [image] = got.json()["data"]
    with Image.open(io.BytesIO(base64.b64decode(image["b64_json"]))) as opened:
        opened.load()


def test_an_image_whose_link_is_late_is_waited_for(gateway, simulators):
    body = {"model": "doubao-image", "prompt": "a cat", "response_format": "url"}
    got = gateway.post("/v1/images/generations", body, key="ark-odd-latelink")
    assert got.status_code == 200, got.text
    assert gateway.get(got.json()["data"][0]["url"].removeprefix(gateway.url)).ok
    assert simulators.operations("ark-odd-latelink")["ark.images"] == 1


@modes
def test_a_drawing_whose_link_is_late_is_waited_for(gateway, stream):
    model, prefix = MODELS["gemini-enterprise"]
    draw = {"model": model, "key": f"{prefix}latelink", "stream": stream}
    answer = gateway.chat("Draw a picture of a cat", **draw).text
    assert "image_url" in answer
    assert '"error"' not in answer


@pytest.mark.parametrize("vendor", ["openai", "ark", "gemini"])
def test_the_models_words_for_no_image_reach_the_caller(gateway, vendor):
    model, prefix = (IMAGES | {"ark": ("doubao-image", "ark-odd-")})[vendor]
    body = {"model": model, "prompt": "a cat"}
    got = gateway.post("/v1/images/generations", body, key=f"{prefix}inwords")
    assert got.status_code == 400, got.text
    assert got.json()["error"]["code"] == "content_filtered"
    assert "cannot draw a real person" in got.json()["error"]["message"]
