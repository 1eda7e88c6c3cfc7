"""Tools and the choice among them, in the shapes of OpenAI's two APIs and of Anthropic's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError, fields

from gateway.api.schemas.fields import Objects
from gateway.api.schemas.members import TOOL, TOOL_CHOICE, check
from gateway.domain.errors import MissingField

_WORDS = {"none": "none", "auto": "auto", "required": "required", "any": "required"}
_FUNCTION_MEMBERS = ("name", "description", "parameters", "strict")


class Tools(Objects):
    def __init__(self, **kw: Any) -> None:
        super().__init__(TOOL, **kw)

    def _deserialize(self, value: Any, attr: Any, data: Any, **kw: Any) -> list[Any]:
        tools = super()._deserialize(value, attr, data, **kw)
        return [_tool(tool, f"{attr}[{position}]") for position, tool in enumerate(tools)]


class ToolChoice(fields.Raw):
    def __init__(self) -> None:
        super().__init__(metadata={"type": ["string", "object"]})

    def _deserialize(self, value: Any, attr: Any, data: Any, **_: Any) -> Any:
        if isinstance(value, dict):
            return _choice(value, attr)
        if isinstance(value, str) and value in _WORDS:
            return _WORDS[value]
        raise ValidationError("Must be none, auto, required or an object that names a tool.")


def _tool(tool: dict[str, Any], path: str) -> dict[str, Any]:
    kind = tool.get("type", "function")
    function = tool.get("function")
    if function is None and "input_schema" in tool and kind in ("function", "custom"):
        schema = tool["input_schema"]
        if not isinstance(schema, dict):
            raise ValidationError(f"{path}.input_schema must be an object.")
        function = _members(tool) | {"parameters": schema}
    elif function is None and kind == "function":
        function = _members(tool)
    if function is None or kind not in ("function", "custom"):
        return tool  # of another type: for the vendor that has it
    if not function.get("name"):
        raise MissingField(f"{path}.function.name is required.", param=f"{path}.function.name")
    return {"type": "function", "function": function}


def _members(tool: Mapping[str, Any]) -> dict[str, Any]:
    return {name: tool[name] for name in _FUNCTION_MEMBERS if tool.get(name) is not None}


def _choice(choice: dict[str, Any], path: str) -> Any:
    kind = choice.get("type", "function")
    if isinstance(kind, str) and kind in _WORDS:
        return _WORDS[kind]
    check(choice, TOOL_CHOICE, path)
    if kind in ("function", "tool"):
        function = choice.get("function") or _members(choice)
        return {"type": "function", "function": _named(function, f"{path}.function")}
    if kind == "allowed_tools":
        allowed = choice.get("allowed_tools") or choice
        place = f"{path}.allowed_tools.tools"
        tools = [
            {
                "type": "function",
                "function": _named(
                    tool.get("function") or _members(tool), f"{place}[{position}].function"
                ),
            }
            for position, tool in enumerate(allowed.get("tools") or ())
        ]
        mode = _WORDS.get(allowed.get("mode") or "auto", "auto")
        return {"type": kind, "allowed_tools": {"mode": mode, "tools": tools}}
    return choice  # of another type: for the vendor that has it


def _named(function: Mapping[str, Any], path: str) -> dict[str, Any]:
    name = function.get("name")
    if not name:
        raise MissingField(f"{path}.name is required.", param=f"{path}.name")
    return {"name": name}
