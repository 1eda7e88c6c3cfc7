"""Anthropic's tools and choice of tools in the parameters of chat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any

from gateway.api.dialects import reading
from gateway.api.dialects.reading import Object
from gateway.domain.errors import InvalidRequest
from gateway.domain.requests import ChatParams

_WEB_SEARCH = "web_search_"
_CHOICES = {"auto": "auto", "any": "required", "none": "none"}


def read_tools(value: object, choice: object, referenced: Set[str]) -> ChatParams:
    """The parameters. A deferred tool is left out until a tool search has referenced it."""
    params = ChatParams()
    tools: list[dict[str, Any]] = []
    for tool, path in reading.objects(value or [], "tools"):
        kind = reading.optional_text(tool, "type", path) or "custom"
        if kind.startswith(_WEB_SEARCH):
            params["web_search_options"] = {}
        elif kind == "custom" and (
            tool.get("defer_loading") is not True or tool.get("name") in referenced
        ):
            tools.append(_function(tool, path))
    if tools:
        params["tools"] = tools
    if choice is not None:
        _choose(reading.an_object(choice, "tool_choice"), params, foreign_tools(value))
    return params


def demanded(params: ChatParams, choice: object) -> Mapping[str, str]:
    """The parameters that a choice of tools, which has been read into `params`, demands."""
    forced = isinstance(choice, dict) and choice.get("type") in ("any", "tool")
    only_searches = "web_search_options" in params and "tools" not in params
    return {"web_search_options": "tool_choice"} if forced and only_searches else {}


def foreign_tools(value: object) -> list[str]:
    """Types of the tools that need Anthropic's servers or models."""
    found: dict[str, None] = {}
    for tool in value if isinstance(value, list) else ():
        kind = tool.get("type") if isinstance(tool, dict) else None
        if isinstance(kind, str) and kind != "custom" and not kind.startswith(_WEB_SEARCH):
            found[kind[:64]] = None
    return list(found)


def _function(tool: Object, path: str) -> dict[str, Any]:
    function: dict[str, Any] = {"name": reading.text(tool, "name", path)}
    if description := reading.optional_text(tool, "description", path):
        function["description"] = description
    function["parameters"] = reading.optional_object(tool, "input_schema", path)
    if tool.get("strict") is True:
        function["strict"] = True
    return {"type": "function", "function": function}


def _choose(choice: Object, params: ChatParams, foreign: Sequence[str]) -> None:
    tools = params.get("tools", [])
    kind = choice.get("type")
    if kind == "tool":
        name = reading.text(choice, "name", "tool_choice")
        if name == "web_search" and not tools and "web_search_options" in params:
            return
        if all(tool["function"]["name"] != name for tool in tools):
            raise InvalidRequest(
                f"tool_choice.name: no tool {name[:64]!r} of type custom is in tools.",
                param="tool_choice.name",
            )
        params["tool_choice"] = {"type": "function", "function": {"name": name}}
    elif not isinstance(kind, str) or kind not in _CHOICES:
        raise InvalidRequest(
            "tool_choice.type must be auto, any, tool or none.", param="tool_choice.type"
        )
    elif tools:
        params["tool_choice"] = _CHOICES[kind]
    elif kind == "any" and foreign:
        raise InvalidRequest(
            f"tool_choice: the model cannot use {foreign[0]}.", param="tool_choice"
        )
    if tools and choice.get("disable_parallel_tool_use") is True:
        params["parallel_tool_calls"] = False
