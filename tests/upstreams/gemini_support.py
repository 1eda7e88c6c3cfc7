"""What the tests of the Gemini API's adapter have in common."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from itertools import chain
from typing import Any

from gateway.domain.accounts import Account, Secret
from gateway.domain.events import Event
from gateway.domain.requests import ChatRequest, ImageRequest, Message, Text
from tests.support.media import png
from tests.upstreams.conftest import CONTEXT, Vendor, media

ACCOUNT = Account("gemini-1", "gemini", Secret("AIza-secret-of-the-account"))
CITY = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = {
    "type": "function",
    "function": {"name": "weather", "description": "Of a city", "parameters": CITY},
}
CLOCK = {"type": "function", "function": {"name": "clock", "parameters": CITY}}
STOP = {"finishReason": "STOP"}


def user(*parts: Any) -> Message:
    return Message("user", tuple(Text(p) if isinstance(p, str) else p for p in parts))


def with_model(request: ChatRequest, model: str) -> ChatRequest:
    return replace(request, model=model)


def body_of(vendor: Vendor, request: ChatRequest) -> dict[str, Any]:
    """The body that the request would be sent with."""
    return vendor.upstream.plan_chat(request, ACCOUNT)[-1].body


def candidate(*parts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"candidates": [{"content": {"role": "model", "parts": list(parts)}, **fields}]}


def refusal(code: int, message: str, status: str = "", *details: Any) -> dict[str, Any]:
    error = {"code": code, "message": message, "status": status, "details": list(details)}
    return {"error": error}


def events_of(vendor: Vendor, request: ChatRequest, account: Account = ACCOUNT) -> list[Event]:
    return list(chain(*vendor.chat(request, account)))


def drawn(vendor: Vendor, request: ImageRequest, account: Account | None = None) -> list[Event]:
    account = account or vendor.account()
    with closing(vendor.upstream.image(request, account, CONTEXT)) as batches:
        return list(chain(*batches))


def large_png() -> Any:
    return media(png(70, 50) + bytes(15_500_000), "image/png")
