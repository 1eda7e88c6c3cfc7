"""Events as OpenAI's `chat.completion` object.

https://platform.openai.com/docs/api-reference/chat/object
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any

from gateway.domain.events import (
    Annotations,
    Event,
    Events,
    Finish,
    Logprobs,
    MediaStored,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    Usage,
    VendorFields,
)
from gateway.domain.media import StoredMedia
from gateway.domain.money import units

STANDARD_MEMBERS = frozenset({"role", "content", "tool_calls", "reasoning_content"})
"""Members of a message that the gateway writes itself; vendors' fields do not replace them."""

Sign = Callable[[StoredMedia], str]


def new_id() -> str:
    return f"chatcmpl-{token_hex(16)}"


def usage_object(usage: Usage) -> dict[str, Any]:
    body: dict[str, Any] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
    if usage.cost is not None:
        body["cost"] = units(usage.cost)
    if usage.cached_tokens:
        body["prompt_tokens_details"] = {"cached_tokens": usage.cached_tokens}
    if usage.reasoning_tokens:
        body["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return body


def media_part(kind: str, url: str) -> dict[str, Any]:
    return {"type": f"{kind}_url", f"{kind}_url": {"url": url}}


def logprobs_object(tokens: list[dict[str, Any]]) -> dict[str, Any]:
    return {"content": tokens, "refusal": None}


def markdown(kind: str, url: str) -> str:
    return f"![image]({url})" if kind == "image" else f"[{kind}]({url})"


def extra_content(signature: str) -> dict[str, Any]:
    """A signature in the place where Google's OpenAI-compatible API has it.

    https://ai.google.dev/gemini-api/docs/thought-signatures#openai
    """
    return {"google": {"thought_signature": signature}}


def reasoning_details(text: str, signature: str) -> list[dict[str, Any]]:
    """A signed block of reasoning, as OpenRouter writes it.

    https://openrouter.ai/docs/use-cases/reasoning-tokens
    """
    return [{"type": "reasoning.text", "text": text, "signature": signature}]


@dataclass(slots=True)
class _Choice:
    text: list[str] = field(default_factory=list)
    text_signature: str | None = None
    reasoning: list[str] = field(default_factory=list)
    unsigned_from: int = 0  # the first piece of reasoning that no signature covers
    details: list[dict[str, Any]] = field(default_factory=list)
    media: list[tuple[str, str]] = field(default_factory=list)
    calls: dict[int, dict[str, Any]] = field(default_factory=dict)
    logprobs: list[dict[str, Any]] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)
    vendor_fields: dict[str, Any] = field(default_factory=dict)
    finish: str = "stop"

    def add(self, event: Event, sign: Sign) -> None:
        match event:
            case TextDelta():
                self.text.append(event.text)
                self.text_signature = event.signature or self.text_signature
            case ReasoningDelta():
                self._reason(event)
            case ToolCallDelta():
                self._call(event)
            case Logprobs():
                self.logprobs += event.tokens
            case MediaStored():
                self.media.append((event.kind, sign(event.media)))
            case Annotations():
                self.annotations += event.items
            case VendorFields():
                _merge(self.vendor_fields, event.fields)
            case Finish():
                self.finish = event.reason

    def _reason(self, event: ReasoningDelta) -> None:
        self.reasoning.append(event.text)
        if event.signature:
            text = "".join(self.reasoning[self.unsigned_from :])
            self.details += reasoning_details(text, event.signature)
            self.unsigned_from = len(self.reasoning)

    def _call(self, event: ToolCallDelta) -> None:
        call = self.calls.get(event.index)
        if call is None:
            function = {"name": event.name or "", "arguments": event.arguments}
            call = self.calls[event.index] = {
                "id": event.id,
                "type": "function",
                "function": function,
            }
        else:
            call["function"]["arguments"] += event.arguments
        if event.signature:
            call["extra_content"] = extra_content(event.signature)

    def object(self, index: int, *, as_parts: bool) -> dict[str, Any]:
        return {
            "index": index,
            "message": self._message(as_parts=as_parts),
            "logprobs": logprobs_object(self.logprobs) if self.logprobs else None,
            "finish_reason": self.finish,
        }

    def _message(self, *, as_parts: bool) -> dict[str, Any]:
        message: dict[str, Any] = {
            "role": "assistant",
            "content": self._content(as_parts=as_parts),
            "refusal": None,
        }
        if reasoning := "".join(self.reasoning):
            message["reasoning_content"] = reasoning
        if self.details:
            message["reasoning_details"] = self.details
        for name, kind in (("images", "image"), ("videos", "video")):
            if media := [media_part(kind, url) for k, url in self.media if k == kind]:
                message[name] = media
        if self.calls:
            message["tool_calls"] = [self.calls[index] for index in sorted(self.calls)]
            for call in message["tool_calls"]:
                call["function"]["arguments"] = call["function"]["arguments"] or "{}"
        if self.annotations:
            message["annotations"] = self.annotations
        if self.text_signature:
            message["extra_content"] = extra_content(self.text_signature)
        for name, value in self.vendor_fields.items():
            if name not in STANDARD_MEMBERS:
                message[name] = value
        return message

    def _content(self, *, as_parts: bool) -> Any:
        text = "".join(self.text)
        if self.media and as_parts:
            parts = [{"type": "text", "text": text}] if text else []
            return parts + [media_part(kind, url) for kind, url in self.media]
        if self.media:
            return "\n".join([text] * bool(text) + [markdown(*item) for item in self.media])
        return None if self.calls and not text else text


def _merge(fields: dict[str, Any], more: dict[str, Any]) -> None:
    """Add the fields of a later piece: lists grow, everything else is replaced."""
    for name, value in more.items():
        known = fields.get(name)
        if isinstance(known, list) and isinstance(value, list):
            fields[name] = [*known, *value]
        else:
            fields[name] = value


def completion(batches: Events, model: str, sign: Sign, *, as_parts: bool) -> dict[str, Any]:
    """Read the answer to its end and return `chat.completion`."""
    choices: dict[int, _Choice] = {0: _Choice()}
    usage = Usage()
    with closing(batches):
        for batch in batches:
            for event in batch:
                if isinstance(event, Usage):
                    usage = event
                    continue
                index = getattr(event, "choice", 0)
                choice = choices.get(index)
                if choice is None:
                    choice = choices[index] = _Choice()
                choice.add(event, sign)
    return {
        "id": new_id(),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [choices[index].object(index, as_parts=as_parts) for index in sorted(choices)],
        "usage": usage_object(usage),
        "system_fingerprint": None,
    }
