"""Lists as OpenAI pages them: `limit`, `order` and `after`; `first_id`, `last_id`, `has_more`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from flask import request

from gateway.api.app import ApiResponse
from gateway.api.http.responses import json_response
from gateway.domain.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class Page:
    after: str | None
    limit: int
    order: str


def requested_page(*, default: int, maximum: int) -> Page:
    """Raises InvalidRequest naming the parameter."""
    args = request.args
    text = args.get("limit") or str(default)
    limit = int(text) if text.isascii() and text.isdigit() and len(text) < 7 else 0
    if not 1 <= limit <= maximum:
        raise InvalidRequest(f"limit must be between 1 and {maximum}.", param="limit")
    order = args.get("order") or "desc"
    if order not in ("asc", "desc"):
        raise InvalidRequest("order must be asc or desc.", param="order")
    return Page(args.get("after"), limit, order)


def page_response(data: Sequence[dict[str, Any]], *, more: bool) -> ApiResponse:
    return json_response(
        {
            "object": "list",
            "data": data,
            "first_id": data[0]["id"] if data else None,
            "last_id": data[-1]["id"] if data else None,
            "has_more": more,
        }
    )
