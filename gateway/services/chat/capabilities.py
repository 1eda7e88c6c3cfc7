"""Parameters that an answer is about, which are never dropped: routes that have them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gateway.domain.errors import InvalidRequest
from gateway.domain.requests import ChatRequest
from gateway.services.routing.catalog import Route


def essential_params(request: ChatRequest) -> list[str]:
    """Tools, a tool choice that demands one, a JSON schema, and more than one choice."""
    params = request.params
    found = []
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


def able_routes(routes: Sequence[Route], request: ChatRequest) -> tuple[Route, ...]:
    """The routes whose vendor has what the answer is about.

    Raises InvalidRequest naming the first parameter that none of them has.
    """
    essential = essential_params(request)
    if not essential:
        return tuple(routes)
    able, lacking = [], essential[0]
    for route in routes:
        dropped = set(route.upstream.dropped(replace(request, model=route.model)))
        missing = [name for name in essential if name in dropped]
        if missing:
            lacking = missing[0]
        else:
            able.append(route)
    if not able:
        raise InvalidRequest(
            f"{request.model[:256]!r} has no vendor here that takes {lacking!r}; "
            "leave it out or use another model.",
            param=lacking,
        )
    return tuple(able)
