"""Demands of a chat request on its routing: capabilities of the vendor, and affinity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gateway.domain.errors import InvalidRequest
from gateway.domain.requests import ChatRequest
from gateway.services.routing.catalog import Route

_MAX_CHARACTERS = 4096  # of a message, by which a conversation is told from others


def conversation_of(request: ChatRequest) -> str:
    """The caller's `prompt_cache_key`, else the user's id, else the messages it began with."""
    params = request.params
    if key := params.get("prompt_cache_key"):
        return f"key {key}"
    user = (params.get("metadata") or {}).get("user_id") or params.get("user")
    if user:
        return f"user {user}"
    first: dict[str, str] = {}
    for message in request.messages:
        if message.role in ("system", "user") and message.role not in first:
            first[message.role] = message.text[:_MAX_CHARACTERS]
            if message.role == "user":
                break
    return "\n".join((first.get("system", ""), first.get("user", "")))


def essential_params(request: ChatRequest) -> list[str]:
    """Tools, a tool choice that demands one, a JSON schema, and more than one choice."""
    params = request.params
    found = list(request.demanded)
    choice = params.get("tool_choice")
    if params.get("tools") and choice != "none":
        found.append("tools")
    if choice not in (None, "auto", "none"):
        found.append("tool_choice")
    if (params.get("response_format") or {}).get("type") == "json_schema":
        found.append("response_format")
    if (params.get("n") or 1) > 1:
        found.append("n")
    return found


def able_routes(
    routes: Sequence[Route], request: ChatRequest, essential: Sequence[str]
) -> tuple[Route, ...]:
    """The routes whose vendor has the `essential` parameters.

    Raises InvalidRequest naming the first parameter that none of them has.
    """
    able: list[Route] = []
    lacking = ""
    for route in routes:
        dropped = set(route.upstream.dropped(replace(request, model=route.model)))
        missing = [name for name in essential if name in dropped]
        if missing:
            lacking = missing[0]
        else:
            able.append(route)
    if not able:
        field = request.demanded.get(lacking, lacking)
        raise InvalidRequest(
            f"{request.model[:256]!r} has no vendor here that takes {lacking!r}; "
            f"leave {field} out or use another model.",
            param=field,
        )
    return tuple(able)
