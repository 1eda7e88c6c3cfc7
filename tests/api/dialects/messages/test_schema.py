"""Requests of Anthropic's clients as the chat requests that they mean."""

from __future__ import annotations

import json

import pytest

from gateway.api.dialects.carrier import Carried, pack
from gateway.api.dialects.messages.schema import CountTokensSchema, MessagesSchema
from gateway.domain.errors import GatewayError
from gateway.domain.media import MediaRef
from gateway.domain.requests import ReasoningBlock, Text
from tests.api.dialects.recordings import name_of, recorded

HI = {"role": "user", "content": "Hi"}
TOOL = {"name": "f", "input_schema": {"type": "object"}}


def read(*messages, **fields):
    body = {"model": "m", "max_tokens": 10, "messages": list(messages or [HI]), **fields}
    return MessagesSchema().read(body)


def refused(*messages, **fields):
    with pytest.raises(GatewayError) as caught:
        read(*messages, **fields)
    return caught.value.param


def test_instructions_come_first_without_the_line_for_anthropics_servers():
    chat = read(
        system=[
            {"type": "text", "text": "x-anthropic-billing-header: cc_version=2; cc_entrypoint=cli"},
            {"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}},
        ]
    )
    assert [(m.role, m.text) for m in chat.messages] == [("system", "Be brief."), ("user", "Hi")]


def test_instructions_in_the_middle_stay_where_they_are():
    chat = read(HI, {"role": "system", "content": [{"type": "text", "text": "Now French."}]}, HI)
    assert [m.role for m in chat.messages] == ["user", "system", "user"]


def test_results_of_tools_are_turns_of_their_own_with_their_media():
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA"}}
    pdf = {
        "type": "document",
        "title": "a.pdf",
        "source": {"type": "base64", "media_type": "application/pdf", "data": "BB"},
    }
    content = [
        {"type": "tool_result", "tool_use_id": "1", "content": "sunny"},
        {"type": "tool_result", "tool_use_id": "2", "content": [image, pdf], "is_error": False},
        {"type": "tool_result", "tool_use_id": "3", "is_error": True},
        {"type": "text", "text": "Go on."},
    ]
    first, second, third, last = read({"role": "user", "content": content}).messages
    assert [m.role for m in (first, second, third, last)] == ["tool", "tool", "tool", "user"]
    assert (first.tool_call_id, first.text) == ("1", "sunny")
    assert second.parts == (
        MediaRef(
            "image",
            "messages[0].content[1].content[0].source.data",
            url="data:image/png;base64,AA",
        ),
        MediaRef(
            "file",
            "messages[0].content[1].content[1].source.data",
            url="data:application/pdf;base64,BB",
            filename="a.pdf",
        ),
    )
    assert third.text == "The tool failed."
    assert last.text == "Go on."


def test_thinking_comes_back_to_the_vendor_that_signed_it():
    signature = pack(Carried("v", signature="s", calls={"1": "c"}))
    content = [
        {"type": "thinking", "thinking": "hm", "signature": signature},
        {"type": "redacted_thinking", "data": "from-elsewhere"},
        {"type": "thinking", "thinking": "foreign", "signature": "RXJyb3I="},
        {"type": "tool_use", "id": "1", "name": "f", "input": {"a": 1}},
        {"type": "server_tool_use", "id": "2", "name": "web_search", "input": {}},
    ]
    chat = read(HI, {"role": "assistant", "content": content})
    turn = chat.messages[-1]
    assert turn.reasoning == (ReasoningBlock("hm", "s"), ReasoningBlock("foreign"))
    assert [(c.id, json.loads(c.arguments), c.signature) for c in turn.tool_calls] == [
        ("1", {"a": 1}, "c")
    ]
    assert chat.for_upstream("v") is chat
    other = chat.for_upstream("w").messages[-1]
    assert other.reasoning == (ReasoningBlock("hm"), ReasoningBlock("foreign"))
    assert other.tool_calls[0].signature is None


def test_deferred_tools_wait_until_a_search_has_found_them():
    tools = [TOOL, {**TOOL, "name": "late", "defer_loading": True}]
    assert [t["function"]["name"] for t in read(tools=tools).params["tools"]] == ["f"]
    found = {"type": "tool_reference", "tool_name": "late"}
    result = {"type": "tool_result", "tool_use_id": "1", "content": [found]}
    chat = read(HI, {"role": "user", "content": [result]}, tools=tools)
    assert [t["function"]["name"] for t in chat.params["tools"]] == ["f", "late"]
    assert "late" in chat.messages[-1].text


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"type": "auto"}, "auto"),
        ({"type": "any"}, "required"),
        ({"type": "none"}, "none"),
        ({"type": "tool", "name": "f"}, {"type": "function", "function": {"name": "f"}}),
    ],
)
def test_choices_of_tools(choice, expected):
    choice |= {"disable_parallel_tool_use": True}
    params = read(tools=[TOOL], tool_choice=choice).params
    assert params["tool_choice"] == expected
    assert params["parallel_tool_calls"] is False


def test_tools_of_anthropics_servers_are_named_or_mapped():
    tools = [TOOL, {"type": "bash_20250124", "name": "bash"}]
    body = {"model": "m", "max_tokens": 10, "messages": [HI], "tools": tools, "container": "c"}
    assert MessagesSchema().unknown_in(body) == ["container", "bash_20250124"]
    search = read(tools=[{"type": "web_search_20250305", "name": "web_search", "max_uses": 8}])
    assert search.params["web_search_options"] == {}
    assert refused(tools=tools[1:], tool_choice={"type": "any"}) == "tool_choice"
    assert refused(tools=tools, tool_choice={"type": "tool", "name": "bash"}) == "tool_choice.name"


SEARCH = {"type": "web_search_20250305", "name": "web_search"}


@pytest.mark.parametrize(
    ("tools", "choice", "demanded"),
    [
        ([SEARCH], {"type": "tool", "name": "web_search"}, {"web_search_options": "tool_choice"}),
        ([SEARCH], {"type": "any"}, {"web_search_options": "tool_choice"}),
        ([SEARCH], {"type": "auto"}, {}),
        ([SEARCH, TOOL], {"type": "any"}, {}),
    ],
)
def test_a_search_may_be_demanded(tools, choice, demanded):
    assert read(tools=tools, tool_choice=choice).demanded == demanded


@pytest.mark.parametrize(
    ("fields", "params"),
    [
        ({"thinking": {"type": "adaptive", "display": "omitted"}}, {}),
        ({"thinking": {"type": "disabled"}}, {"thinking": {"type": "disabled"}}),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 2048}},
            {"thinking": {"type": "enabled", "budget_tokens": 2048}},
        ),
        ({"output_config": {"effort": "high"}}, {}),
        ({"output_config": {"effort": "max"}}, {"reasoning_effort": "max"}),
        ({"stop_sequences": ["END"], "top_k": 5}, {"stop": ["END"], "top_k": 5}),
        ({"metadata": {"user_id": "secret"}, "context_management": {"edits": []}}, {}),
    ],
)
def test_parameters(fields, params):
    assert read(**fields).params == {"max_tokens": 10, **params}


def test_a_schema_for_the_answer():
    wanted = {"type": "json_schema", "schema": {"type": "object"}}
    for fields in ({"output_config": {"format": wanted}}, {"output_format": wanted}):
        found = read(**fields).params["response_format"]
        assert found["json_schema"]["schema"] == {"type": "object"}


@pytest.mark.parametrize(
    ("message", "param"),
    [
        ({"content": "x"}, "messages[0].role"),
        ({"role": "tool", "content": "x"}, "messages[0].role"),
        ({"role": "user", "content": 7}, "messages[0].content"),
        ({"role": "user", "content": ["x"]}, "messages[0].content[0]"),
        ({"role": "user", "content": [{"type": "hologram"}]}, "messages[0].content[0].type"),
        ({"role": "user", "content": [{"type": "text"}]}, "messages[0].content[0].text"),
        (
            {"role": "user", "content": [{"type": "image", "source": {"type": "magic"}}]},
            "messages[0].content[0].source.type",
        ),
        (
            {"role": "user", "content": [{"type": "tool_result", "content": "x"}]},
            "messages[0].content[0].tool_use_id",
        ),
        (
            {"role": "assistant", "content": [{"type": "tool_use", "id": "1", "input": {}}]},
            "messages[0].content[0].name",
        ),
    ],
)
def test_errors_name_the_member(message, param):
    assert refused(message) == param


@pytest.mark.parametrize("request_", recorded("messages"), ids=name_of)
def test_recorded_requests_are_read(request_):
    body = request_["body"]
    if "thread" in body:
        assert refused(*body["messages"], thread=body["thread"]) == "thread"
        return
    schema = CountTokensSchema() if "count_tokens" in request_["path"] else MessagesSchema()
    chat = schema.read(body)
    text = json.dumps(body)
    calls = [call for message in chat.messages for call in message.tool_calls]
    assert len(calls) == text.count('"type": "tool_use"')
    assert sum(m.role == "tool" for m in chat.messages) == text.count('"type": "tool_result"')
    assert all(
        isinstance(part, Text | MediaRef) for message in chat.messages for part in message.parts
    )
