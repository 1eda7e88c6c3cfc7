"""Checks of the members inside the objects of a chat request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.domain.errors import InvalidRequest

Members = Mapping[str, Any]
"""Name -> type, or the members of an object, or a list of the members of a list's objects."""

_FUNCTION: Members = {"name": str, "description": str, "parameters": dict}
_EITHER: Members = {"type": str, "function": _FUNCTION, **_FUNCTION}  # nested or flat
TOOL: Members = _EITHER
TOOL_CHOICE: Members = {
    **_EITHER,
    "mode": str,
    "tools": [_EITHER],
    "allowed_tools": {"mode": str, "tools": [_EITHER]},
}
RESPONSE_FORMAT: Members = {
    "type": str,
    "json_schema": {"name": str, "description": str, "schema": dict},
}
THINKING: Members = {"type": str, "budget_tokens": int}
IMAGE_CONFIG: Members = {
    "aspect_ratio": str,
    "aspectRatio": str,
    "image_size": str,
    "imageSize": str,
}

_NOUNS = {str: "a string", int: "a whole number", dict: "an object", list: "a list"}


def check(value: Mapping[str, Any], members: Members, path: str) -> None:
    """Raises InvalidRequest naming the member; those that are absent, null or unknown are fine."""
    for name, expected in members.items():
        found = value.get(name)
        if found is None:
            continue
        where = f"{path}.{name}"
        if isinstance(expected, type):
            _require(found, expected, where)
            continue
        _require(found, type(expected), where)
        if isinstance(expected, dict):
            check(found, expected, where)
            continue
        for position, item in enumerate(found):
            _require(item, dict, f"{where}[{position}]")
            check(item, expected[0], f"{where}[{position}]")


def _require(value: object, kind: type, path: str) -> None:
    if not isinstance(value, kind):
        raise InvalidRequest(f"{path} must be {_NOUNS[kind]}.", param=path)
