"""Events as Google's response, whole or as a stream.

https://ai.google.dev/api/generate-content#generatecontentresponse
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any

import orjson

from gateway.api.dialects.blocks import Sign
from gateway.api.dialects.carrier import Carried, pack
from gateway.api.dialects.gemini.errors import GOOGLE, error_body
from gateway.domain.errors import GatewayError, UpstreamInvalidResponse
from gateway.domain.events import (
    Event,
    Events,
    Finish,
    MediaStored,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    Usage,
    VendorFields,
)
from gateway.domain.media import StoredMedia

Read = Callable[[StoredMedia], str]
"""The bytes of stored media as base64."""

_FINISH = {"stop": "STOP", "tool_calls": "STOP", "length": "MAX_TOKENS", "content_filter": "SAFETY"}
_LARGEST_INLINE = 20 * 1024 * 1024  # bytes; what is larger is a link


@dataclass(slots=True)
class Forms:
    """Ways in which the parts of an answer are written."""

    sign: Sign
    read: Read
    vendor: Callable[[], str]
    thoughts: bool


@dataclass(slots=True)
class _Choice:
    """The calls and opaque members of one candidate that have not been written yet."""

    call: ToolCallDelta | None = None
    hidden: list[str] = field(default_factory=list)
    signature: str | None = None
    fields: dict[str, Any] = field(default_factory=dict)


class Parts:
    """Turns events into parts. A call is a part once its arguments are complete."""

    def __init__(self, forms: Forms) -> None:
        self._forms = forms
        self._choices: dict[int, _Choice] = {}
        self.usage = Usage()
        self.finishes: dict[int, Finish] = {}

    def feed(self, event: Event) -> list[tuple[int, dict[str, Any]]]:
        """Parts that are complete with this event, each with its candidate."""
        if isinstance(event, Usage):
            self.usage = event
            return []
        number = getattr(event, "choice", 0)
        choice = self._choices.setdefault(number, _Choice())
        return [(number, part) for part in self._parts(event, choice)]

    def _parts(self, event: Event, choice: _Choice) -> list[dict[str, Any]]:
        match event:
            case TextDelta():
                return [*self._end_call(choice), *_text(event.text, event.signature)]
            case ReasoningDelta() if self._forms.thoughts:
                parts = _text(event.text, event.signature)
                return [*self._end_call(choice), *({**part, "thought": True} for part in parts)]
            case ReasoningDelta():
                choice.hidden.append(event.text)
                choice.signature = event.signature or choice.signature
            case ToolCallDelta():
                return self._call(event, choice)
            case VendorFields():
                choice.fields |= event.fields
            case MediaStored():
                return [*self._end_call(choice), self._media(event)]
            case Finish():
                self.finishes[event.choice] = event
                cut = event.reason == "length"
                return self._end_call(choice, cut=cut)
        return []

    def _call(self, event: ToolCallDelta, choice: _Choice) -> list[dict[str, Any]]:
        begun = choice.call
        if begun is not None and begun.index == event.index:
            begun.arguments += event.arguments
            begun.signature = event.signature or begun.signature
            return []
        ended = self._end_call(choice)
        choice.call = event
        return ended

    def _end_call(self, choice: _Choice, *, cut: bool = False) -> list[dict[str, Any]]:
        call, choice.call = choice.call, None
        if call is None:
            return []
        try:
            arguments = orjson.loads(call.arguments or "{}")
        except orjson.JSONDecodeError:
            arguments = None
        if not isinstance(arguments, dict):
            if cut:
                return []  # the limit has cut it in two
            raise UpstreamInvalidResponse("The model's call of a tool is not valid JSON", sent=True)
        name = call.name or ""
        part: dict[str, Any] = {"functionCall": {"name": name, "args": arguments}}
        if call.id:
            part["functionCall"]["id"] = call.id
        if signature := self._signature(call, choice):
            part["thoughtSignature"] = signature
        return [part]

    def _signature(self, call: ToolCallDelta, choice: _Choice) -> str | None:
        """The vendor's own where it fits the field; with more to carry, all of it packed."""
        hidden, fields, own = "".join(choice.hidden), choice.fields, choice.signature
        choice.hidden, choice.fields, choice.signature = [], {}, None
        more = fields or own or (hidden and not call.signature)
        if not more and (call.signature is None or _is_base64(call.signature)):
            return call.signature
        signatures = {call.id or "": call.signature} if call.signature else {}
        return pack(
            Carried(
                self._forms.vendor(), signature=own, text=hidden, calls=signatures, fields=fields
            )
        )

    def _media(self, event: MediaStored) -> dict[str, Any]:
        stored = event.media
        if event.kind == "image" and stored.size <= _LARGEST_INLINE:
            data = self._forms.read(stored)
            return {"inlineData": {"mimeType": stored.mime_type, "data": data}}
        url = self._forms.sign(stored)
        return {"fileData": {"mimeType": stored.mime_type, "fileUri": url}}


def _text(text: str, signature: str | None) -> list[dict[str, Any]]:
    kept = signature if signature and _is_base64(signature) else None
    if not text and not kept:
        return []
    return [{"text": text} | ({"thoughtSignature": kept} if kept else {})]


def _is_base64(text: str) -> bool:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def response(batches: Events, model: str, forms: Forms) -> dict[str, Any]:
    """Read the answer to its end. Raises UpstreamInvalidResponse for unreadable arguments."""
    parts = Parts(forms)
    found: dict[int, list[dict[str, Any]]] = {0: []}
    with closing(batches):
        for batch in batches:
            for event in batch:
                for number, part in parts.feed(event):
                    _add(found.setdefault(number, []), part)
    candidates = [
        _candidate(number, content, parts.finishes.get(number))
        for number, content in sorted(found.items())
    ]
    return _response(candidates, model, f"resp-{token_hex(12)}", parts.usage)


def _add(content: list[dict[str, Any]], part: dict[str, Any]) -> None:
    """Text goes on where it ended, so that it is one part."""
    last = content[-1] if content else {}
    goes_on = "text" in part and "text" in last and "thoughtSignature" not in last
    if goes_on and part.get("thought") == last.get("thought"):
        content[-1] = last | part | {"text": last["text"] + part["text"]}
    else:
        content.append(part)


class ContentStream:
    """Chunks of one stream: server-sent events, or the elements of a JSON array."""

    def __init__(self, model: str, forms: Forms, *, events: bool) -> None:
        self._model = model
        self._parts = Parts(forms)
        self._id = f"resp-{token_hex(12)}"
        self._events = events
        self._begun = False

    def opening(self) -> bytes:
        return b""

    def batch(self, batch: list[Event]) -> bytes:
        content: dict[int, list[dict[str, Any]]] = {}
        for event in batch:
            for number, part in self._parts.feed(event):
                _add(content.setdefault(number, []), part)
        if not content:
            return b""
        candidates = [_candidate(number, parts, None) for number, parts in content.items()]
        return self._chunk(_response(candidates, self._model, self._id, None))

    def ending(self) -> bytes:
        """The last chunk has the reason of the end, without which clients ask again."""
        finishes = self._parts.finishes or {0: Finish("stop")}
        candidates = [_candidate(number, [], finish) for number, finish in finishes.items()]
        last = _response(candidates, self._model, self._id, self._parts.usage)
        return self._chunk(last) + (b"" if self._events else b"]")

    def failed(self, err: GatewayError) -> bytes:
        if self._events:
            return GOOGLE.error_frame(err, "")
        return self._chunk(error_body(err, "")) + b"]"

    def heartbeat(self) -> bytes:
        return GOOGLE.heartbeat

    def _chunk(self, payload: dict[str, Any]) -> bytes:
        if self._events:
            return b"data: " + orjson.dumps(payload) + b"\n\n"
        head = b"," if self._begun else b"["
        self._begun = True
        return head + orjson.dumps(payload) + b"\n\n"


def _candidate(number: int, parts: list[dict[str, Any]], finish: Finish | None) -> dict[str, Any]:
    found: dict[str, Any] = {"content": {"parts": parts, "role": "model"}, "index": number}
    if finish is not None:
        found["finishReason"] = _FINISH[finish.reason]
    return found


def _response(
    candidates: list[dict[str, Any]], model: str, id_: str, usage: Usage | None
) -> dict[str, Any]:
    found: dict[str, Any] = {"candidates": candidates, "modelVersion": model, "responseId": id_}
    return found | ({} if usage is None else {"usageMetadata": usage_object(usage)})


def usage_object(usage: Usage) -> dict[str, int]:
    """Google counts thoughts apart from the candidates."""
    found = {
        "promptTokenCount": usage.prompt_tokens,
        "candidatesTokenCount": max(usage.completion_tokens - usage.reasoning_tokens, 0),
        "totalTokenCount": usage.prompt_tokens + usage.completion_tokens,
    }
    if usage.reasoning_tokens:
        found["thoughtsTokenCount"] = usage.reasoning_tokens
    if usage.cached_tokens:
        found["cachedContentTokenCount"] = usage.cached_tokens
    return found
