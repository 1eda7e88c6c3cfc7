"""Gemini's answers as events.

https://ai.google.dev/api/generate-content#generatecontentresponse
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

import orjson

from gateway.domain.accounts import Account
from gateway.domain.errors import (
    AnswerFailed,
    ContentFiltered,
    GatewayError,
    UpstreamDisconnected,
    UpstreamInvalidResponse,
)
from gateway.domain.events import (
    Annotations,
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
from gateway.net.codecs.vendor_json import JsonReader, NotJson
from gateway.upstreams.errors import redact
from gateway.upstreams.gemini.citations import citations
from gateway.upstreams.gemini.endpoint import VENDOR
from gateway.upstreams.google.errors import embedded_error, status_in
from gateway.upstreams.media_sources import InlineSource
from gateway.upstreams.openai.envelope import checked_text, listed, single

# Anything else is no complete answer: after some text, too.
_REASONS: Mapping[str, FinishReason] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "CONTINUATION": "length",
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
_INVALID = "Gemini sent an answer that cannot be read"
_UNREADABLE = "unreadable"  # in place of a reason that is no text
_MOST_CHOICES = 128
_MOST_CALLS = 1000
_LONGEST_QUOTE = 300  # characters of the model's own words in an error


class Decoder:
    """Reads the answer of one request, one chunk after the other.

    `tool_names` are the caller's names of tools, by those that Gemini was given.
    """

    __slots__ = (
        "_account",
        "_begun",
        "_calls",
        "_files",
        "_grounding",
        "_json",
        "_names",
        "_reasons",
        "_served",
        "_texts",
        "_usage",
        "images",
    )

    def __init__(
        self,
        account: Account,
        served: Callable[[str], None],
        tool_names: Mapping[str, str] | None = None,
    ) -> None:
        self._account = account
        self._names = tool_names or {}
        self._json = JsonReader()
        self._served = served
        self._usage: Mapping[str, Any] | None = None
        self._calls: dict[int, int] = {}  # choice -> tool calls so far
        self._reasons: dict[int, str] = {}
        self._begun: set[int] = set()  # choices, if only with a thought
        self._texts: dict[int, list[str]] = {}  # choice -> pieces of its text
        self._grounding: dict[int, Mapping[str, Any]] = {}
        self._files: set[int] = set()  # hashes of their data
        self.images = 0

    def events(self, payload: bytes) -> list[Event]:
        """The events of one chunk in JSON. Raises what an error in it stands for."""
        try:
            chunk = self._json.read(payload)
        except NotJson:
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
        if isinstance(chunk, list) and len(chunk) == 1:
            chunk = chunk[0]
        usage = chunk.get("usageMetadata")
        if isinstance(usage, dict):
            self._usage = usage
        if not self._begun and isinstance(model := chunk.get("modelVersion"), str) and model:
            self._served(model)
        candidates = listed(chunk.get("candidates"))
        if not candidates or "error" in chunk:
            self._refuse(chunk)
        read: set[int] = set()
        for candidate in candidates:
            choice = _index(candidate, alone=len(candidates) == 1)
            if choice in read:  # the same candidate again
                continue
            read.add(choice)
            self._begun.add(choice)
            if content := single(candidate.get("content")):
                for part in listed(content.get("parts")):
                    self._part(part, choice, found)
            if grounding := candidate.get("groundingMetadata"):
                self._grounding[choice] = grounding
            if reason := candidate.get("finishReason"):
                self._reasons[choice] = reason if isinstance(reason, str) else _UNREADABLE

    def _refuse(self, chunk: Mapping[str, Any]) -> None:
        """Raise what a chunk without candidates means; one of mere usage means nothing."""
        if status := status_in(chunk):
            raise embedded_error(status, vendor=VENDOR, account=self._account)
        if reason := (chunk.get("promptFeedback") or {}).get("blockReason"):
            raise ContentFiltered(f"Gemini blocked the prompt: {reason}", sent=True)

    def _part(self, part: Mapping[str, Any], choice: int, found: list[Event]) -> None:
        text = checked_text(part.get("text") or "")
        signature = part.get("thoughtSignature") or None
        if not isinstance(signature, str):
            signature = None
        if part.get("thought"):
            if text or signature:  # images sketched meanwhile are left out
                found.append(ReasoningDelta(text, choice, signature))
        elif call := part.get("functionCall"):
            found.append(self._tool_call(call, signature, choice))
        elif inline := single(part.get("inlineData")):
            self._media(inline, found)
        elif text or signature:
            self._texts.setdefault(choice, []).append(text)
            found.append(TextDelta(text, choice, signature))

    def _tool_call(self, call: Mapping[str, Any], signature: str | None, choice: int) -> Event:
        index = self._calls.get(choice, 0)
        self._calls[choice] = index + 1
        if index >= _MOST_CALLS:
            raise ValueError("too many tool calls")
        name, args = checked_text(call["name"]), single(call.get("args") or {})
        if not isinstance(args, dict):
            raise TypeError("no arguments")
        return ToolCallDelta(
            index,
            orjson.dumps(args).decode(),
            id=checked_text(call.get("id") or "") or f"call_{uuid4().hex[:24]}",
            name=self._names.get(name, name),
            signature=signature,
            choice=choice,
        )

    def _media(self, inline: Mapping[str, Any], found: list[Event]) -> None:
        """Add a file, once; one of no type that can be read is taken for an image."""
        data, mime_type = checked_text(inline["data"]), inline.get("mimeType")
        if not isinstance(mime_type, str) or "/" not in mime_type:
            mime_type = "image/png"
        if hash(data) in self._files:
            return
        self._files.add(hash(data))
        source = InlineSource(data, mime_type)
        if mime_type.startswith("image/"):
            self.images += 1
            found.append(MediaReady("image", source))
        else:
            found.append(MediaReady("video" if mime_type[:6] == "video/" else "audio", source))

    def end(self, rest: bytes = b"") -> list[Event]:
        """Usage and the finishes, once everything was read.

        `rest` is the last of the stream: a late error comes in it, outside of any event.
        Raises UpstreamDisconnected when a choice was left unfinished.
        """
        if not self._reasons or self._begun - self._reasons.keys():
            if status := _late_error(rest):
                raise embedded_error(status, vendor=VENDOR, account=self._account)
            raise UpstreamDisconnected("Gemini broke its answer off", sent=True)
        events = self._annotations()
        if (usage := self.usage()) is not None:
            events.append(usage)
        events += [Finish(self._finish(choice), choice) for choice in sorted(self._reasons)]
        return events

    def _annotations(self) -> list[Event]:
        try:
            found = {
                choice: citations(grounding, "".join(self._texts.get(choice, ())))
                for choice, grounding in self._grounding.items()
            }
        except (AttributeError, KeyError, TypeError, ValueError):
            raise UpstreamInvalidResponse(_INVALID, sent=True) from None
        return [Annotations(items, choice) for choice, items in found.items() if items]

    def _finish(self, choice: int) -> FinishReason:
        reason = self._reasons[choice]
        if reason == _UNREADABLE:
            raise UpstreamInvalidResponse(_INVALID, sent=True)
        if (finish := _REASONS.get(reason)) is None:
            raise AnswerFailed(f"Gemini did not complete its answer ({reason[:64]})", sent=True)
        return "tool_calls" if finish == "stop" and choice in self._calls else finish

    def add_image_to(self, total: Usage) -> None:
        """Add to `total` what the answer cost. Raises when there was no image in it."""
        if not self.images:
            raise self._no_image()
        if (usage := self.usage()) is not None:
            total.prompt_tokens += usage.prompt_tokens
            total.completion_tokens += usage.completion_tokens
            total.reasoning_tokens += usage.reasoning_tokens
            total.cached_tokens += usage.cached_tokens
            total.image_input_tokens += usage.image_input_tokens
            total.image_output_tokens += usage.image_output_tokens
        total.images += self.images

    def _no_image(self) -> GatewayError:
        reasons = sorted(set(self._reasons.values()))
        blocked = [reason for reason in reasons if _REASONS.get(reason) == "content_filter"]
        said = "".join(piece for pieces in self._texts.values() for piece in pieces)
        words = redact(said, self._account.secret.reveal())
        if blocked:
            return ContentFiltered(f"Gemini blocked the image: {blocked[0]}", sent=True)
        if words:
            quote = words[:_LONGEST_QUOTE]
            return ContentFiltered(f"Gemini made no image and said: {quote}", sent=True)
        why = ", ".join(reasons) or "no reason given"
        if reasons:
            return AnswerFailed(f"Gemini made no image ({why})", sent=True)
        return UpstreamDisconnected("Gemini broke its answer off", sent=True)

    def usage(self) -> Usage | None:
        """Tokens as billed; those of thoughts count as completion, as OpenAI has it."""
        usage = self._usage
        if usage is None:
            return None
        thoughts = tokens_of(usage.get("thoughtsTokenCount"))
        prompt = tokens_of(usage.get("promptTokenCount"))
        prompt += tokens_of(usage.get("toolUsePromptTokenCount"))
        completion = tokens_of(usage.get("candidatesTokenCount")) + thoughts
        return Usage(
            prompt_tokens=prompt,
            completion_tokens=max(completion, tokens_of(usage.get("totalTokenCount")) - prompt),
            reasoning_tokens=thoughts,
            cached_tokens=tokens_of(usage.get("cachedContentTokenCount")),
            image_input_tokens=_image_tokens(usage.get("promptTokensDetails")),
            image_output_tokens=_image_tokens(usage.get("candidatesTokensDetails")),
            images=self.images,
        )


def _index(candidate: Mapping[str, Any], *, alone: bool) -> int:
    """The choice that a candidate belongs to; raises ValueError where it cannot be told."""
    index = candidate.get("index") or 0
    if type(index) is int and 0 <= index < _MOST_CHOICES:
        return index
    if not alone:
        raise ValueError("no index of a candidate")
    return 0


def _image_tokens(details: Any) -> int:
    """The tokens of images among those that are counted by modality."""
    if not isinstance(details, list):
        return 0
    return sum(
        tokens_of(item.get("tokenCount"))
        for item in details
        if isinstance(item, dict) and item.get("modality") == "IMAGE"
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
