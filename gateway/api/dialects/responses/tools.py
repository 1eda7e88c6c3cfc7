"""Tools of the Responses API in the parameters of chat, and their calls back in its forms.

A custom tool takes text of any form: models get it as a function with one string. A
namespace is a group of tools: models get each under its own name, or as `NAMESPACE__NAME`
where another tool has that name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from gateway.api.dialects import reading
from gateway.api.dialects.reading import Object
from gateway.domain.errors import InvalidRequest
from gateway.domain.requests import ChatParams

_WEB_SEARCH = "web_search"
_TEXT = {
    "type": "object",
    "properties": {"input": {"type": "string"}},
    "required": ["input"],
    "additionalProperties": False,
}
_CHOICES = frozenset({"none", "auto", "required"})


@dataclass(slots=True)
class Tools:
    """Tools by the names under which a model knows them.

    `foreign` are types of tools that need OpenAI's servers.
    """

    functions: dict[str, dict[str, Any]] = field(default_factory=dict)
    custom: set[str] = field(default_factory=set)
    namespaces: dict[str, tuple[str, str]] = field(default_factory=dict)
    foreign: list[str] = field(default_factory=list)
    searches: bool = False

    @classmethod
    def read(cls, *lists: tuple[object, str]) -> Tools:
        """Read lists of tools, each given with its path. Raises InvalidRequest."""
        found = cls()
        grouped: list[tuple[str, Object, str]] = []
        for value, path in lists:
            for tool, where in reading.objects(value or [], path):
                if tool.get("type") == "namespace":
                    group = reading.text(tool, "name", where)
                    inner = reading.objects(tool.get("tools") or [], f"{where}.tools")
                    grouped += [(group, item, place) for item, place in inner]
                else:
                    found._add(tool, where)
        for group, tool, where in grouped:
            name = reading.text(tool, "name", where)
            known = f"{group}__{name}" if name in found.functions else name
            found.namespaces[known] = (group, name)
            found._add(tool, where, known)
        return found

    def name_of(self, namespace: object, name: str) -> str:
        """The name under which a model knows a tool of a namespace, or of none."""
        for known, place in self.namespaces.items():
            if place == (namespace, name):
                return known
        return name

    def _add(self, tool: Object, path: str, name: str | None = None) -> None:
        kind = reading.text(tool, "type", path)
        if kind == "function":
            self._add_function(tool, path, name or reading.text(tool, "name", path))
        elif kind == "custom":
            name = name or reading.text(tool, "name", path)
            self.custom.add(name)
            described = _custom_description(tool, path)
            function = {"name": name, "description": described, "parameters": _TEXT}
            self.functions[name] = {"type": "function", "function": function}
        elif kind.startswith(_WEB_SEARCH):
            self.searches = True
        elif kind not in self.foreign:
            self.foreign.append(kind[:64])

    def params(self, choice: object, parallel: object) -> ChatParams:
        """The parameters of chat. Raises InvalidRequest for a choice that cannot be met."""
        params = ChatParams()
        if self.functions:
            params["tools"] = list(self.functions.values())
            if parallel is False:
                params["parallel_tool_calls"] = False
        elif self.searches:
            params["web_search_options"] = {}
        if choice is not None and (chosen := self._choice(choice)) is not None:
            params["tool_choice"] = chosen
        return params

    def demanded(self, choice: object) -> Mapping[str, str]:
        """The parameters that a choice of tools, which `params` has taken, demands."""
        forced = choice == "required" or (
            isinstance(choice, dict) and str(choice.get("type")).startswith(_WEB_SEARCH)
        )
        only_searches = self.searches and not self.functions
        return {"web_search_options": "tool_choice"} if forced and only_searches else {}

    @property
    def left_out(self) -> list[str]:
        """Types of the tools that no model gets."""
        return [*self.foreign, *([_WEB_SEARCH] if self.searches and self.functions else [])]

    def _add_function(self, tool: Object, path: str, name: str) -> None:
        function: dict[str, Any] = {"name": name}
        if description := reading.optional_text(tool, "description", path):
            function["description"] = description
        function["parameters"] = dict(reading.optional_object(tool, "parameters", path))
        if tool.get("strict") is True:
            function["strict"] = True
        self.functions[name] = {"type": "function", "function": function}

    def _choice(self, choice: object) -> str | dict[str, Any] | None:
        if isinstance(choice, str):
            return self._mode(choice)
        wanted = reading.an_object(choice, "tool_choice")
        kind = reading.text(wanted, "type", "tool_choice")
        if kind in ("function", "custom"):
            return {"type": "function", "function": {"name": self._known(wanted, "tool_choice")}}
        if kind == "allowed_tools":
            return self._allowed(wanted)
        if kind.startswith(_WEB_SEARCH) and self.searches and not self.functions:
            return None
        raise _impossible(kind)

    def _mode(self, mode: str) -> str | None:
        if mode not in _CHOICES:
            raise InvalidRequest(
                "tool_choice must be none, auto, required or an object.", param="tool_choice"
            )
        if self.functions:
            return mode
        if mode == "required" and not self.searches:
            raise _impossible(self.foreign[0] if self.foreign else "a tool; none is given")
        return None

    def _allowed(self, wanted: Object) -> dict[str, Any]:
        names = [
            self._known(tool, path)
            for tool, path in reading.objects(wanted.get("tools") or [], "tool_choice.tools")
            if tool.get("type") in ("function", "custom")
        ]
        tools = [{"type": "function", "function": {"name": name}} for name in names]
        mode = "required" if wanted.get("mode") == "required" else "auto"
        if not tools and mode == "required":
            raise _impossible("the allowed tools")
        return {"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}}

    def _known(self, tool: Object, path: str) -> str:
        name = self.name_of(tool.get("namespace"), reading.text(tool, "name", path))
        if name not in self.functions:
            raise InvalidRequest(f"{path}.name: no such tool is given.", param=f"{path}.name")
        return name


def custom_arguments(text: str) -> str:
    """The input of a custom tool as arguments of its function."""
    return orjson.dumps({"input": text}).decode()


def custom_input(arguments: str) -> str:
    """The input that a model gave to a custom tool's function."""
    try:
        found = orjson.loads(arguments)
    except orjson.JSONDecodeError:
        return arguments
    text = found.get("input") if isinstance(found, dict) else None
    return text if isinstance(text, str) else arguments


def _custom_description(tool: Mapping[str, Any], path: str) -> str:
    """With the grammar that the input has to follow, as the model cannot be held to it."""
    description = reading.optional_text(tool, "description", path) or ""
    form = reading.optional_object(tool, "format", path)
    if form.get("type") == "grammar" and isinstance(form.get("definition"), str):
        syntax = str(form.get("syntax"))[:32]
        description += f"\n\nThe input must follow this {syntax} grammar:\n{form['definition']}"
    return description.strip()


def _impossible(what: str) -> InvalidRequest:
    return InvalidRequest(
        f"tool_choice: the model cannot be made to use {what[:64]}.", param="tool_choice"
    )
