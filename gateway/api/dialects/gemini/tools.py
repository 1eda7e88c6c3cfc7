"""Google's tools and their configuration in the parameters of chat."""

from __future__ import annotations

from typing import Any

from gateway.api.dialects import reading
from gateway.api.dialects.gemini import members
from gateway.api.dialects.gemini.members import member, snake
from gateway.api.dialects.reading import Object
from gateway.domain.errors import InvalidRequest
from gateway.domain.requests import ChatParams

_FUNCTIONS = "functionDeclarations"
_SEARCHES = ("googleSearch", "googleSearchRetrieval")
_TYPES = frozenset({"STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "NULL"})
_NESTED = ("properties", "$defs", "definitions", "patternProperties")
_LISTS = ("anyOf", "any_of", "oneOf", "allOf", "prefixItems")
_SCHEMAS = ("items", "additionalProperties", "not")


def read_tools(value: object, config: Object) -> ChatParams:
    params = ChatParams()
    functions: list[dict[str, Any]] = []
    searches = False
    for tool, path in reading.objects(value or [], "tools"):
        declared = member(tool, _FUNCTIONS) or []
        functions += [
            _function(item, where)
            for item, where in reading.objects(declared, f"{path}.{_FUNCTIONS}")
        ]
        searches = searches or any(member(tool, name) is not None for name in _SEARCHES)
    if functions:
        params["tools"] = functions
        if (choice := _choice(config)) is not None:
            params["tool_choice"] = choice
    elif searches:
        params["web_search_options"] = {}
    return params


def foreign_tools(value: object) -> list[str]:
    """Names of the tools that run on Google's servers only."""
    known = {_FUNCTIONS, snake(_FUNCTIONS), *_SEARCHES, *map(snake, _SEARCHES)}
    found: dict[str, None] = {}
    for tool in value if isinstance(value, list) else ():
        if isinstance(tool, dict):
            found |= dict.fromkeys(name[:64] for name in tool if name not in known)
    return list(found)


def json_schema(value: Any) -> Any:
    """A schema in the words of JSON Schema: Google's has its types in capitals."""
    if not isinstance(value, dict):
        return value
    found: dict[str, Any] = {}
    for name, item in value.items():
        if name in _NESTED and isinstance(item, dict):
            item = {key: json_schema(inner) for key, inner in item.items()}
        elif name in _LISTS and isinstance(item, list):
            item = [json_schema(inner) for inner in item]
        elif name in _SCHEMAS:
            item = json_schema(item)
        elif name == "type" and isinstance(item, str) and item in _TYPES:
            item = item.lower()
        elif name in ("propertyOrdering", "property_ordering", "nullable"):
            continue
        found["anyOf" if name == "any_of" else name] = item
    if value.get("nullable") is True and isinstance(found.get("type"), str):
        found["type"] = [found["type"], "null"]
    return found


def _function(declaration: Object, path: str) -> dict[str, Any]:
    function: dict[str, Any] = {"name": members.text(declaration, "name", path)}
    if description := members.optional_text(declaration, "description", path):
        function["description"] = description
    schema = members.an_object(declaration, "parametersJsonSchema", path)
    schema = schema or members.an_object(declaration, "parameters", path)
    function["parameters"] = json_schema(dict(schema)) or {"type": "object", "properties": {}}
    return {"type": "function", "function": function}


def _choice(config: Object) -> str | dict[str, Any] | None:
    path = "toolConfig.functionCallingConfig"
    calling = members.an_object(config, "functionCallingConfig", "toolConfig")
    mode = members.optional_text(calling, "mode", path)
    names = member(calling, "allowedFunctionNames") or []
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise InvalidRequest(
            f"{path}.allowedFunctionNames must be a list of strings.",
            param=f"{path}.allowedFunctionNames",
        )
    named = [{"type": "function", "function": {"name": name}} for name in names]
    match mode:
        case None | "MODE_UNSPECIFIED":
            return None
        case "NONE":
            return "none"
        case "ANY" if len(named) == 1:
            return named[0]
        case "ANY" | "VALIDATED" if named:
            wanted = "required" if mode == "ANY" else "auto"
            return {"type": "allowed_tools", "allowed_tools": {"mode": wanted, "tools": named}}
        case "ANY":
            return "required"
        case "AUTO" | "VALIDATED":
            return "auto"
    raise InvalidRequest(f"{path}.mode must be AUTO, ANY, VALIDATED or NONE.", param=f"{path}.mode")
