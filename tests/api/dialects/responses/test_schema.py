"""Requests of clients of the Responses API as the chat requests that they mean."""

from __future__ import annotations

import json

import pytest

from gateway.api.dialects.carrier import Carried, pack
from gateway.api.dialects.responses.schema import ResponsesSchema
from gateway.domain.errors import GatewayError
from gateway.domain.media import MediaRef
from gateway.domain.requests import ReasoningBlock, Text
from tests.api.dialects.recordings import name_of, recorded

FUNCTION = {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True}
CUSTOM = {
    "type": "custom",
    "name": "patch",
    "description": "Edits files.",
    "format": {"type": "grammar", "syntax": "lark", "definition": "start: /x+/"},
}
GROUP = {"type": "namespace", "name": "ns", "tools": [{**FUNCTION, "name": "g"}]}


def read(input_="Hi", **fields):
    return ResponsesSchema().read({"model": "m", "input": input_} | fields)


def chat(input_="Hi", **fields):
    return read(input_, **fields).chat([])


def refused(input_="Hi", **fields):
    with pytest.raises(GatewayError) as caught:
        chat(input_, **fields)
    return caught.value.param


def names(params):
    return [tool["function"]["name"] for tool in params["tools"]]


def test_text_and_instructions():
    found = chat("Hi", instructions="Be brief.")
    assert [(m.role, m.text) for m in found.messages] == [("system", "Be brief."), ("user", "Hi")]


def test_items_of_one_turn_of_the_model_are_put_together():
    opaque = pack(Carried("v", signature="s", calls={"c1": "t"}))
    items = [
        {"role": "developer", "content": "Be brief."},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAA-foreign"},
        {
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": "hm"}],
            "content": None,
            "encrypted_content": opaque,
        },
        {"role": "assistant", "content": [{"type": "output_text", "text": "Let me look."}]},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"type": "function_call", "call_id": "c2", "name": "g", "namespace": "ns"},
        {"type": "custom_tool_call", "call_id": "c3", "name": "patch", "input": "xx"},
        {"type": "function_call_output", "call_id": "c1", "output": "sunny"},
        {
            "type": "custom_tool_call_output",
            "call_id": "c3",
            "output": [{"type": "input_image", "image_url": "http://x/a.png", "detail": "high"}],
        },
        {"type": "web_search_call", "id": "ws_1", "status": "completed"},
    ]
    system, user, turn, first, second = chat(items).messages
    assert [m.role for m in (system, user, turn, first, second)] == [
        *("system", "user", "assistant", "tool", "tool")
    ]
    assert turn.reasoning == (ReasoningBlock("hm", "s"),)
    assert turn.vendor == "v"
    assert turn.text == "Let me look."
    assert [(c.id, c.name, c.signature) for c in turn.tool_calls] == [
        *(("c1", "f", "t"), ("c2", "g", None), ("c3", "patch", None))
    ]
    assert json.loads(turn.tool_calls[2].arguments) == {"input": "xx"}
    assert (first.tool_call_id, first.text) == ("c1", "sunny")
    path = "input[9].output[0].image_url.url"
    assert second.parts == (MediaRef("image", path, url="http://x/a.png", detail="high"),)


def test_tools_become_functions():
    tools = [FUNCTION, CUSTOM, GROUP, {"type": "local_shell"}, {"type": "web_search"}]
    wanted = read(tools=tools, tool_choice="required", parallel_tool_calls=False)
    assert names(wanted.params) == ["f", "patch", "g"]
    assert wanted.params["tools"][0]["function"]["strict"] is True
    patch = wanted.params["tools"][1]["function"]
    assert "start: /x+/" in patch["description"]
    assert patch["parameters"]["required"] == ["input"]
    assert wanted.params["tool_choice"] == "required"
    assert wanted.params["parallel_tool_calls"] is False
    body = {"model": "m", "tools": tools, "max_tool_calls": 3}
    assert ResponsesSchema().unknown_in(body) == ["max_tool_calls", "local_shell", "web_search"]


def test_tools_may_stand_among_the_items_and_in_namespaces():
    groups = [
        {"type": "namespace", "name": "a", "tools": [CUSTOM, {**FUNCTION, "name": "g"}]},
        {"type": "namespace", "name": "b", "tools": [{**FUNCTION, "name": "g"}]},
    ]
    items = [
        {"type": "additional_tools", "tools": groups},
        {"role": "user", "content": "Hi"},
        {"type": "function_call", "call_id": "1", "name": "g", "namespace": "b", "arguments": ""},
    ]
    found = read(items)
    assert names(found.params) == ["patch", "g", "b__g"]
    assert found.tools.custom == {"patch"}
    assert found.tools.namespaces["patch"] == ("a", "patch")
    assert found.chat([]).messages[-1].tool_calls[0].name == "b__g"


def test_a_search_of_the_web_is_the_vendors_when_it_is_the_only_tool():
    tools = [{"type": "web_search_preview"}]
    for choice in ("required", {"type": "web_search_preview"}):
        chat = read(tools=tools, tool_choice=choice).chat([])
        assert chat.params == {"web_search_options": {}}
        assert chat.demanded == {"web_search_options": "tool_choice"}
    assert not read(tools=tools, tool_choice="auto").chat([]).demanded
    assert not read(tools=[*tools, FUNCTION], tool_choice="required").chat([]).demanded


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", "auto"),
        ({"type": "function", "name": "f"}, {"type": "function", "function": {"name": "f"}}),
        ({"type": "custom", "name": "patch"}, {"type": "function", "function": {"name": "patch"}}),
        (
            {
                "type": "allowed_tools",
                "mode": "required",
                "tools": [{"type": "function", "name": "f"}],
            },
            {
                "type": "allowed_tools",
                "allowed_tools": {
                    "mode": "required",
                    "tools": [{"type": "function", "function": {"name": "f"}}],
                },
            },
        ),
    ],
)
def test_choices_of_tools(choice, expected):
    assert read(tools=[FUNCTION, CUSTOM], tool_choice=choice).params["tool_choice"] == expected


@pytest.mark.parametrize(
    ("tools", "choice"),
    [
        ([FUNCTION], {"type": "file_search"}),
        ([{"type": "code_interpreter"}], "required"),
        ([FUNCTION], {"type": "web_search"}),
        ([FUNCTION], "sometimes"),
    ],
)
def test_a_choice_that_no_model_can_meet_is_refused(tools, choice):
    assert refused(tools=tools, tool_choice=choice) == "tool_choice"
    assert refused(tools=[FUNCTION], tool_choice={"type": "function", "name": "x"}) == (
        "tool_choice.name"
    )


@pytest.mark.parametrize(
    ("fields", "params"),
    [
        ({"max_output_tokens": 9, "temperature": 1}, {"max_tokens": 9, "temperature": 1}),
        ({"reasoning": {"effort": "low", "summary": "auto"}}, {"reasoning_effort": "low"}),
        ({"text": {"verbosity": "low", "format": {"type": "text"}}}, {"verbosity": "low"}),
        (
            {"text": {"format": {"type": "json_object"}}},
            {"response_format": {"type": "json_object"}},
        ),
        (
            {"text": {"format": {"type": "json_schema", "name": "P", "schema": {}}}},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "P", "schema": {}},
                }
            },
        ),
        ({"include": ["reasoning.encrypted_content"], "store": False, "truncation": "auto"}, {}),
        ({"prompt_cache_key": "k", "client_metadata": {"a": "b"}}, {"prompt_cache_key": "k"}),
    ],
)
def test_parameters(fields, params):
    assert read(**fields).params == params


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"background": True}, "background"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"prompt": {"id": "pmpt_1"}}, "prompt"),
        ({"input_": []}, "input"),
        ({"input_": 7}, "input"),
        ({"input_": [{"type": "message", "content": "x"}]}, "input[0].role"),
        ({"input_": [{"role": "robot", "content": "x"}]}, "input[0].role"),
        ({"input_": [{"role": "user", "content": [{"type": "x"}]}]}, "input[0].content[0].type"),
        ({"input_": [{"type": "function_call", "call_id": "1"}]}, "input[0].name"),
        ({"input_": [{"type": "function_call_output", "output": "x"}]}, "input[0].call_id"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": 7}, "tools"),
    ],
)
def test_errors_name_the_member(fields, param):
    assert refused(**fields) == param


@pytest.mark.parametrize("request_", recorded("responses", "/v1/responses"), ids=name_of)
def test_recorded_requests_are_read(request_):
    body = request_["body"]
    found = ResponsesSchema().read(body).chat([])
    items = body["input"] if isinstance(body["input"], list) else []
    kinds = [item.get("type", "message").removeprefix("custom_tool_") for item in items]
    calls = [call for message in found.messages for call in message.tool_calls]
    assert len(calls) == kinds.count("function_call") + kinds.count("call")
    outputs = kinds.count("function_call_output") + kinds.count("call_output")
    assert sum(m.role == "tool" for m in found.messages) == outputs
    for message in found.messages:
        assert all(isinstance(part, Text | MediaRef) for part in message.parts)
