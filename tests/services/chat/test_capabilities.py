"""Routes for what an answer is about: tools, JSON schemas, several choices."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from gateway.domain.errors import InvalidRequest
from gateway.domain.requests import ChatRequest
from gateway.services.chat.capabilities import able_routes
from gateway.services.routing.catalog import Route

TOOLS = [{"type": "function", "function": {"name": "f"}}]


def route(name, *lacks):
    def dropped(request, account=None):
        assert request.model == f"{name}-model"
        return [param for param in request.params if param in lacks]

    return Route(SimpleNamespace(name=name, dropped=dropped), f"{name}-model")


def chosen(params, *routes):
    return [found.upstream.name for found in able_routes(routes, ChatRequest("m", (), params))]


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
