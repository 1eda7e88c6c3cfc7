"""Requests of Google's clients as the chat requests that they mean."""

from __future__ import annotations

import json

import pytest

from gateway.api.dialects.gemini.schema import read_request, shows_thoughts, unknown_in
from gateway.domain.errors import GatewayError
from gateway.domain.media import MediaRef
from gateway.domain.requests import ReasoningBlock, Text
from tests.api.dialects.recordings import name_of, recorded

HI = {"role": "user", "parts": [{"text": "Hi"}]}


def read(*contents, **fields):
    return read_request({"contents": list(contents or [HI]), **fields}, "m")


def refused(*contents, **fields):
    with pytest.raises(GatewayError) as caught:
        read(*contents, **fields)
    return caught.value.param


def configured(**config):
    return read(generationConfig=config).params


def test_instructions_come_first():
    found = read(systemInstruction={"role": "user", "parts": [{"text": "Be brief."}]})
    assert [(m.role, m.text) for m in found.messages] == [("system", "Be brief."), ("user", "Hi")]


def test_media_in_either_spelling():
    parts = [
        {"inlineData": {"mime_type": "image/png", "data": "a-_="}},
        {"file_data": {"file_uri": "https://x/a.mp4", "mimeType": "video/mp4"}},
    ]
    (message,) = read({"parts": parts}).messages
    assert message.parts == (
        MediaRef("image", "contents[0].parts[0].inlineData.data", url="data:image/png;base64,a+/="),
        MediaRef("video", "contents[0].parts[1].fileData.fileUri", url="https://x/a.mp4"),
    )


def test_turns_of_the_model_with_thoughts_and_calls():
    parts = [
        {"text": "hm", "thought": True, "thoughtSignature": "czE="},
        {"text": "Let me look."},
        {"functionCall": {"name": "f", "args": {"a": 1}}, "thought_signature": "czI="},
        {"functionCall": {"id": "own", "name": "f", "args": {}}},
    ]
    results = [
        {"functionResponse": {"name": "f", "response": {"result": "sunny"}}},
        {"functionResponse": {"id": "own", "name": "f", "response": {"a": [1]}}},
        {"inlineData": {"mimeType": "image/png", "data": "AA=="}},
        {"text": "And?"},
    ]
    found = read(HI, {"role": "model", "parts": parts}, {"role": "user", "parts": results})
    turn, first, second, user = found.messages[1:]
    assert turn.reasoning == (ReasoningBlock("hm", "czE="),)
    assert [(c.id, c.signature) for c in turn.tool_calls] == [("call_1", "czI="), ("own", None)]
    assert json.loads(turn.tool_calls[0].arguments) == {"a": 1}
    assert (first.tool_call_id, first.text) == ("call_1", "sunny")
    assert (second.tool_call_id, second.text) == ("own", '{"a":[1]}')
    assert isinstance(second.parts[1], MediaRef)
    assert user.text == "And?"


@pytest.mark.parametrize("key", ["parameters", "parametersJsonSchema", "parameters_json_schema"])
def test_functions_with_schemas_in_either_form(key):
    schema = {
        "type": "OBJECT",
        "properties": {
            "type": {"type": "STRING", "nullable": True},
            "all": {"type": "ARRAY", "items": {"type": "INTEGER"}},
        },
        "propertyOrdering": ["type", "all"],
    }
    declared = {"name": "f", "description": "d", key: schema}
    params = read(tools=[{"function_declarations": [declared]}, {"codeExecution": {}}]).params
    assert params["tools"] == [
        {
            "type": "function",
            "function": {
                "name": "f",
                "description": "d",
                "parameters": {
                    "type": "object",
                    "properties": {
                        "type": {"type": ["string", "null"]},
                        "all": {"type": "array", "items": {"type": "integer"}},
                    },
                },
            },
        }
    ]


def named(name):
    return {"type": "function", "function": {"name": name}}


@pytest.mark.parametrize(
    ("config", "choice"),
    [
        ({"mode": "AUTO"}, "auto"),
        ({"mode": "VALIDATED"}, "auto"),
        ({"mode": "NONE"}, "none"),
        ({"mode": "ANY"}, "required"),
        ({"mode": "ANY", "allowedFunctionNames": ["f"]}, named("f")),
        (
            {"mode": "ANY", "allowed_function_names": ["f", "g"]},
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "required", "tools": [named("f"), named("g")]},
            },
        ),
    ],
)
def test_choices_of_functions(config, choice):
    tools = [{"functionDeclarations": [{"name": "f"}, {"name": "g"}]}]
    found = read(tools=tools, toolConfig={"functionCallingConfig": config})
    assert found.params["tool_choice"] == choice


def test_a_search_of_the_web_is_the_vendors_when_it_is_the_only_tool():
    assert read(tools=[{"googleSearch": {}}]).params == {"web_search_options": {}}


@pytest.mark.parametrize(
    ("config", "params"),
    [
        (
            {"temperature": 1, "topP": 0.9, "topK": "40", "maxOutputTokens": 9, "seed": 1},
            {"temperature": 1, "top_p": 0.9, "top_k": 40, "max_tokens": 9, "seed": 1},
        ),
        ({"stopSequences": ["z"], "candidate_count": 2}, {"stop": ["z"], "n": 2}),
        ({"responseModalities": ["TEXT"]}, {}),
        ({"responseModalities": ["TEXT", "IMAGE"]}, {"modalities": ["text", "image"]}),
        ({"thinkingConfig": {"thinkingLevel": "HIGH"}}, {"reasoning_effort": "high"}),
        ({"thinkingConfig": {"thinking_budget": 0}}, {"thinking": {"type": "disabled"}}),
        ({"thinkingConfig": {"thinkingBudget": -1}}, {}),
        (
            {"thinkingConfig": {"thinkingBudget": 99}},
            {"thinking": {"type": "enabled", "budget_tokens": 99}},
        ),
        (
            {"responseMimeType": "application/json"},
            {"response_format": {"type": "json_object"}},
        ),
        (
            {"response_mime_type": "application/json", "response_schema": {"type": "OBJECT"}},
            {
                "response_format": {
                    "type": "json_schema",
                    "json_schema": {"name": "answer", "schema": {"type": "object"}},
                }
            },
        ),
    ],
)
def test_parameters(config, params):
    assert configured(**config) == params


def test_what_is_not_used_is_named():
    body = {
        "contents": [HI],
        "safety_settings": [],
        "store": True,
        "tools": [{"urlContext": {}}],
        "generationConfig": {"speechConfig": {}, "topK": 1},
    }
    assert unknown_in(body) == ["store", "speechConfig", "urlContext"]


def test_thoughts_are_asked_for_in_either_spelling():
    for name in ("includeThoughts", "include_thoughts"):
        assert shows_thoughts({"generation_config": {"thinkingConfig": {name: True}}})
    assert not shows_thoughts({})


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"contents": []}, "contents"),
        ({"contents": [{"role": "robot", "parts": []}]}, "contents[0].role"),
        ({"contents": [{"parts": ["x"]}]}, "contents[0].parts[0]"),
        (
            {"contents": [{"role": "model", "parts": [{"functionCall": {}}]}]},
            "contents[0].parts[0].functionCall.name",
        ),
        ({"contents": [HI], "cachedContent": "cachedContents/1"}, "cachedContent"),
        ({"contents": [HI], "generationConfig": 7}, "generationConfig"),
        (
            {"contents": [HI], "generationConfig": {"temperature": "hot"}},
            "generationConfig.temperature",
        ),
        ({"contents": [HI], "tools": [{"functionDeclarations": [{}]}]}, None),
    ],
)
def test_errors_name_the_member(fields, param):
    with pytest.raises(GatewayError) as caught:
        read_request(fields, "m")
    assert caught.value.param == (param or "tools[0].functionDeclarations[0].name")


@pytest.mark.parametrize("request_", recorded("gemini", "enerateContent"), ids=name_of)
def test_recorded_requests_are_read(request_):
    body = request_["body"]
    found = read_request(body, "m")
    text = json.dumps(body)
    calls = [call for message in found.messages for call in message.tool_calls]
    assert len(calls) == text.count('"functionCall":')
    assert sum(m.role == "tool" for m in found.messages) == text.count('"functionResponse":')
    for message in found.messages:
        assert all(isinstance(part, Text | MediaRef) for part in message.parts)
    assert set(unknown_in(body)) <= {"codeExecution"}
