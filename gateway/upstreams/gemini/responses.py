"""Gemini's answers as events.

https://ai.google.dev/api/generate-content#generatecontentresponse
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import orjson

from gateway.domain.accounts import Account
from gateway.domain.errors import (
    ContentFiltered,
    GatewayError,
    UpstreamDisconnected,
    UpstreamInvalidResponse,
)
from gateway.domain.events import (
    Event,
    Finish,
    FinishReason,
    MediaReady,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    Usage,
    tokens_of,
)
from gateway.upstreams.gemini.endpoint import VENDOR
from gateway.upstreams.google.errors import embedded_error, status_in
from gateway.upstreams.media_sources import InlineSource

_FINISH: Mapping[str, FinishReason] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "MODEL_ARMOR": "content_filter",
}
# Whatever came before one of these, it is no answer.
_BROKEN = frozenset(
    {
        "MALFORMED_FUNCTION_CALL",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
        "MISSING_THOUGHT_SIGNATURE",
        "MALFORMED_RESPONSE",
    }
)
_INVALID = "Gemini sent an answer that cannot be read"


class Decoder:
    """Reads the answer of one request, one chunk after the other."""

    __slots__ = ("_account", "_begun", "_calls", "_reasons", "_seen", "_usage", "images")

    def __init__(self, account: Account) -> None:
        self._account = account
        self._usage: Mapping[str, Any] | None = None
        self._calls: dict[int, int] = {}  # choice -> tool calls so far
        self._reasons: dict[int, str] = {}
        self._begun: set[int] = set()  # choices, if only with a thought
        self._seen: set[int] = set()  # choices that have said something
        self.images = 0

    def events(self, payload: bytes) -> list[Event]:
        """The events of one chunk in JSON. Raises what an error in it stands for."""
        try:
            chunk = orjson.loads(payload)
        except orjson.JSONDecodeError:
            raise UpstreamInvalidResponse(_INVALID, sent=True) from None
        return self.events_of(chunk)

    def events_of(self, chunk: Any) -> list[Event]:
        """The events of one chunk, or of a whole answer."""
        found: list[Event] = []
        try:
            self._read(chunk, found)
        except (AttributeError, KeyError, TypeError, ValueError):
            raise UpstreamInvalidResponse(_INVALID, sent=True) from None
        return found

    def _read(self, chunk: Mapping[str, Any], found: list[Event]) -> None:
        candidates = chunk.get("candidates")
        usage = chunk.get("usageMetadata")
        if isinstance(usage, dict):
            self._usage = usage
        if candidates is None:
            self._refuse(chunk)
            return
        for candidate in candidates:
            choice = candidate.get("index", 0)
            self._begun.add(choice)
            if content := candidate.get("content"):
                for part in content.get("parts") or ():
                    self._part(part, choice, found)
            if reason := candidate.get("finishReason"):
                self._reasons[choice] = reason

    def _refuse(self, chunk: Mapping[str, Any]) -> None:
        """Raise what a chunk without candidates means; one of mere usage means nothing."""
        if status := status_in(chunk):
            raise embedded_error(status, vendor=VENDOR, account=self._account)
        if reason := (chunk.get("promptFeedback") or {}).get("blockReason"):
            raise ContentFiltered(f"Gemini blocked the prompt: {reason}", sent=True)

    def _part(self, part: Mapping[str, Any], choice: int, found: list[Event]) -> None:
        text = part.get("text")
        if part.get("thought"):
            if text:  # what is sketched meanwhile is left out
                found.append(ReasoningDelta(text, choice))
            return
        if text:
            found.append(TextDelta(text, choice))
        elif call := part.get("functionCall"):
            found.append(self._tool_call(call, part.get("thoughtSignature"), choice))
        elif inline := part.get("inlineData"):
            found.append(self._media(inline))
        else:
            return
        self._seen.add(choice)

    def _tool_call(self, call: Mapping[str, Any], signature: str | None, choice: int) -> Event:
        index = self._calls.get(choice, 0)
        self._calls[choice] = index + 1
        return ToolCallDelta(
            index,
            orjson.dumps(call.get("args") or {}).decode(),
            id=call.get("id") or f"call_{uuid4().hex[:24]}",
            name=call["name"],
            signature=signature,
            choice=choice,
        )

    def _media(self, inline: Mapping[str, Any]) -> Event:
        mime_type = inline["mimeType"]
        source = InlineSource(inline["data"], mime_type)
        if mime_type.startswith("image/"):
            self.images += 1
            return MediaReady("image", source)
        return MediaReady("video" if mime_type.startswith("video/") else "audio", source)

    def end(self, rest: bytes = b"") -> list[Event]:
        """Usage and the finishes, once everything was read.

        `rest` is the last of the stream: a late error comes in it, outside of any event.
        Raises UpstreamDisconnected when a choice was left unfinished.
        """
        if not self._reasons or self._begun - self._reasons.keys():
            if status := _late_error(rest):
                raise embedded_error(status, vendor=VENDOR, account=self._account)
            raise UpstreamDisconnected("Gemini broke its answer off", sent=True)
        events: list[Event] = [Finish(self._finish(c), c) for c in sorted(self._reasons)]
        if (usage := self.usage()) is not None:
            events.insert(0, usage)
        return events

    def _finish(self, choice: int) -> FinishReason:
        reason = self._reasons[choice]
        finish = _FINISH.get(reason)
        if reason in _BROKEN or (finish is None and choice not in self._seen):
            raise UpstreamInvalidResponse(f"Gemini gave no answer ({reason})", sent=True)
        if choice in self._calls and finish in ("stop", None):
            return "tool_calls"
        return finish or "stop"

    def add_picture_to(self, total: Usage) -> None:
        """Add to `total` what the answer cost. Raises when there was no picture in it."""
        if not self.images:
            raise self._no_picture()
        if (usage := self.usage()) is not None:
            total.prompt_tokens += usage.prompt_tokens
            total.completion_tokens += usage.completion_tokens
            total.reasoning_tokens += usage.reasoning_tokens
            total.cached_tokens += usage.cached_tokens
        total.images += self.images

    def _no_picture(self) -> GatewayError:
        reasons = set(self._reasons.values())
        blocked = sorted(reason for reason in reasons if _FINISH.get(reason) == "content_filter")
        if blocked:
            return ContentFiltered(f"Gemini blocked the picture: {blocked[0]}", sent=True)
        why = ", ".join(sorted(reasons)) or "no reason given"
        return UpstreamInvalidResponse(f"Gemini made no picture ({why})", sent=True)

    def usage(self) -> Usage | None:
        """Tokens as billed; those of thoughts count as completion, as OpenAI has it."""
        usage = self._usage
        if usage is None:
            return None
        thoughts = tokens_of(usage.get("thoughtsTokenCount"))
        return Usage(
            prompt_tokens=tokens_of(usage.get("promptTokenCount"))
            + tokens_of(usage.get("toolUsePromptTokenCount")),
            completion_tokens=tokens_of(usage.get("candidatesTokenCount")) + thoughts,
            reasoning_tokens=thoughts,
            cached_tokens=tokens_of(usage.get("cachedContentTokenCount")),
            images=self.images,
        )


def _late_error(rest: bytes) -> Mapping[str, Any] | None:
    """The error that stands in the open after the events, in an array or not."""
    start = rest.rfind(b"{", 0, max(rest.rfind(b'"error"'), 0))
    if start < 0:
        return None
    try:
        return status_in(orjson.loads(rest[start:].rstrip(b"\r\n\t ]")))
    except orjson.JSONDecodeError:
        return None
