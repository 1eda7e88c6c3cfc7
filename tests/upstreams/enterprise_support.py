"""What the tests of Gemini Enterprise's adapter have in common."""

from __future__ import annotations

from itertools import chain
from typing import Any

from gateway.domain.accounts import Account, Secret
from gateway.domain.events import Event
from gateway.domain.requests import ChatRequest, Message, Text
from tests.support.simulators import ENGINE
from tests.upstreams.conftest import Vendor

ACCOUNT = Account("ge-1", "gemini-enterprise", Secret("ya29.secret-of-the-account"), engine=ENGINE)
SESSION = f"{ENGINE}/sessions/1"
DONE = {"answer": {"state": "SUCCEEDED", "replies": [{"groundedContent": {}}]}}


def user(*parts: Any) -> Message:
    return Message("user", tuple(Text(p) if isinstance(p, str) else p for p in parts))


def chat_of(*messages: Message, **fields: Any) -> ChatRequest:
    return ChatRequest("gemini-enterprise", messages, **fields)


def events_of(vendor: Vendor, request: ChatRequest, account: Account) -> list[Event]:
    return list(chain(*vendor.chat(request, account)))


def replies(*contents: dict[str, Any], **answer: Any) -> dict[str, Any]:
    """One element of an answer."""
    shown = [{"groundedContent": {"content": content}} for content in contents]
    return {"answer": {"state": "IN_PROGRESS", "replies": shown, **answer}}
