"""Demands of a chat request on its routing: capabilities and affinity."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from gateway.domain.errors import InvalidRequest
from gateway.domain.requests import ChatRequest, Message, Text
from gateway.services.chat.demands import able_routes, conversation_of, essential_params
from gateway.services.routing.catalog import Route

TOOLS = [{"type": "function", "function": {"name": "f"}}]


def route(name, *lacks):
    def dropped(request, account=None):
        assert request.model == f"{name}-model"
        return [param for param in request.params if param in lacks]

    return Route(SimpleNamespace(name=name, dropped=dropped), f"{name}-model")


def chosen(params, *routes):
    asked = ChatRequest("m", (), params)
    return [found.upstream.name for found in able_routes(routes, asked, essential_params(asked))]


PLAIN, ABLE = route("plain", "tools", "tool_choice", "response_format", "n", "seed"), route("able")


@pytest.mark.parametrize(
    ("params", "names"),
    [
        ({}, ["plain", "able"]),
        ({"seed": 1, "n": 1, "response_format": {"type": "text"}}, ["plain", "able"]),
        ({"tools": []}, ["plain", "able"]),
        ({"tools": TOOLS, "tool_choice": "none"}, ["plain", "able"]),
        ({"tools": TOOLS}, ["able"]),
        ({"tools": TOOLS, "tool_choice": "required"}, ["able"]),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, ["able"]),
        ({"n": 2}, ["able"]),
    ],
)
def test_routes_that_would_drop_what_the_answer_is_about_are_left_out(params, names):
    assert chosen(params, PLAIN, ABLE) == names


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"tools": TOOLS}, "tools"),
        ({"tools": TOOLS, "tool_choice": {"type": "function"}}, "tools"),
        ({"response_format": {"type": "json_schema"}}, "response_format"),
        ({"n": 2}, "n"),
    ],
)
def test_where_no_route_has_it_the_error_names_the_field(params, field):
    with pytest.raises(InvalidRequest) as caught:
        chosen(params, PLAIN)
    assert caught.value.param == field


def test_what_a_field_demands_is_not_dropped_either():
    searching = ChatRequest(
        "m", (), {"web_search_options": {}}, demanded={"web_search_options": "tool_choice"}
    )
    essential = essential_params(searching)
    blind = route("blind", "web_search_options")
    found = able_routes((blind, ABLE), searching, essential)
    assert [r.upstream.name for r in found] == ["able"]
    with pytest.raises(InvalidRequest, match="'web_search_options'; leave tool_choice") as caught:
        able_routes((blind,), searching, essential)
    assert caught.value.param == "tool_choice"


def request(*texts, **params):
    roles = ("system", "user", "assistant", "user")
    messages = (Message(role, (Text(text),)) for role, text in zip(roles, texts, strict=False))
    return ChatRequest("m", tuple(messages), params)


FIRST = ("Be brief.", "Hello")
LATER = (*FIRST, "Hi!", "How are you?")


def test_the_first_messages_tell_a_conversation_through_all_of_its_turns():
    assert conversation_of(request(*FIRST)) == conversation_of(request(*LATER))
    assert conversation_of(request(*FIRST)) != conversation_of(request("Be brief.", "Bye"))
    assert conversation_of(request(*FIRST)) != conversation_of(request("Be long.", "Hello"))


@pytest.mark.parametrize(
    "params", [{"prompt_cache_key": "k"}, {"user": "u"}, {"metadata": {"user_id": "u"}}]
)
def test_a_key_or_a_user_tells_it_before_the_messages(params):
    assert conversation_of(request(*FIRST, **params)) == conversation_of(
        request("a", "b", **params)
    )


def test_a_key_comes_before_a_user():
    both = {"prompt_cache_key": "k", "user": "u"}
    assert conversation_of(request(*FIRST, **both)) == conversation_of(
        request(*FIRST, prompt_cache_key="k")
    )
