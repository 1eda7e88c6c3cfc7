"""Contents and their parts as Google has them, read into the domain's turns.

https://ai.google.dev/api/caching#Content
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.api.dialects import reading
from gateway.api.dialects.carrier import Turn, unpack
from gateway.api.dialects.gemini import members
from gateway.api.dialects.gemini.members import member
from gateway.api.dialects.reading import Object
from gateway.domain.errors import InvalidRequest
from gateway.domain.media import MediaRef
from gateway.domain.requests import Message, Part, Text, ToolCall

_MOST_CONTENTS = 100_000
_RESULTS = ("output", "result")
"""Members under which clients put a result that is mere text."""


def system_message(value: object) -> Message | None:
    """The instructions: a content, or a mere string."""
    if isinstance(value, str):
        return Message("system", (Text(value),)) if value else None
    content = {} if value is None else reading.an_object(value, "systemInstruction")
    parts = tuple(
        found
        for part, where in _parts_of(content, "systemInstruction")
        if isinstance(found := _media_or_text(part, where), Text)
    )
    return Message("system", parts) if parts else None


def turns(value: object) -> list[Message]:
    """The contents of a request. Raises InvalidRequest naming the field."""
    if isinstance(value, dict):
        value = [value]
    if isinstance(value, str):
        value = [{"parts": [{"text": value}]}]
    if not isinstance(value, list) or not value:
        raise InvalidRequest("contents must hold at least one content.", param="contents")
    if len(value) > _MOST_CONTENTS:
        raise InvalidRequest(
            f"contents holds {len(value)} contents; {_MOST_CONTENTS} is the most.", param="contents"
        )
    calls = _Calls()
    found: list[Message] = []
    for content, path in reading.objects(value, "contents"):
        if content.get("role") == "model":
            found += _model(content, path, calls)
        elif content.get("role") in (None, "", "user", "function"):
            found += _user(content, path, calls)
        elif content.get("role") == "system":
            found += [message] if (message := system_message(content)) else []
        else:
            raise InvalidRequest(f"{path}.role must be user or model.", param=f"{path}.role")
    return found


class _Calls:
    """Ids of the calls so far; older clients leave them out, and results go by the name."""

    def __init__(self) -> None:
        self._count = 0
        self._open: dict[str, list[str]] = {}  # ids without a result, by name

    def begin(self, call: Object, name: str, path: str) -> str:
        self._count += 1
        id_ = members.optional_text(call, "id", path) or f"call_{self._count}"
        self._open.setdefault(name, []).append(id_)
        return id_

    def end(self, response: Object, name: str, path: str) -> str:
        open_calls = self._open.get(name, [])
        id_ = members.optional_text(response, "id", path)
        if id_ is None or id_ not in open_calls:
            return open_calls.pop(0) if open_calls and id_ is None else id_ or f"call_{name}"
        open_calls.remove(id_)
        return id_


def _model(content: Object, path: str, calls: _Calls) -> list[Message]:
    turn = Turn()
    for part, where in _parts_of(content, path):
        signature = members.optional_text(part, "thoughtSignature", where)
        carried = unpack(signature) if signature else None
        if carried is not None:
            turn.add_reasoning("", signature)
            signature = None
        text = members.optional_text(part, "text", where)
        if part.get("thought") is True:
            turn.add_own_reasoning(text or "", signature)
        elif (call := member(part, "functionCall")) is not None:
            turn.calls.append(_call(call, signature, f"{where}.functionCall", calls))
        elif text is not None:
            if text or signature:
                turn.parts.append(Text(text, signature))
        elif (found := _media_or_text(part, where)) is not None:
            turn.parts.append(found)
    return [turn.message()] if turn else []


def _call(value: object, signature: str | None, path: str, calls: _Calls) -> ToolCall:
    call = reading.an_object(value, path)
    name = members.text(call, "name", path)
    arguments = members.an_object(call, "args", path)
    id_ = calls.begin(call, name, path)
    return ToolCall(id_, name, orjson.dumps(arguments).decode(), signature)


def _user(content: Object, path: str, calls: _Calls) -> list[Message]:
    """A user turn; the results of tools in it are turns before, with the media beside them."""
    results: list[Message] = []
    parts: list[Part] = []
    media: list[Part] = []
    for part, where in _parts_of(content, path):
        if (response := member(part, "functionResponse")) is not None:
            results.append(_result(response, f"{where}.functionResponse", calls))
        elif (found := _media_or_text(part, where)) is not None:
            (media if results and not isinstance(found, Text) else parts).append(found)
    if results and media:
        last = results.pop()
        shown = (*last.parts, *media)
        results.append(Message("tool", shown, name=last.name, tool_call_id=last.tool_call_id))
    return [*results, *([Message("user", tuple(parts))] if parts or not results else [])]


def _result(value: object, path: str, calls: _Calls) -> Message:
    response = reading.an_object(value, path)
    name = members.text(response, "name", path)
    parts: list[Part] = [Text(_result_text(members.an_object(response, "response", path)))]
    for part, where in reading.objects(response.get("parts") or [], f"{path}.parts"):
        if (found := _media_or_text(part, where)) is not None:
            parts.append(found)
    return Message("tool", tuple(parts), name=name, tool_call_id=calls.end(response, name, path))


def _result_text(response: Mapping[str, Any]) -> str:
    if len(response) == 1:
        ((key, value),) = response.items()
        if key in _RESULTS and isinstance(value, str):
            return value
    return orjson.dumps(response).decode()


def media_and_texts(content: Object, path: str) -> list[Part]:
    """The parts of a content that is no turn of a conversation."""
    found = (_media_or_text(part, where) for part, where in _parts_of(content, path))
    return [part for part in found if part is not None]


def _parts_of(content: Object, path: str) -> list[tuple[Object, str]]:
    parts = content.get("parts")
    if isinstance(parts, str):
        return [({"text": parts}, f"{path}.parts")]
    if isinstance(parts, dict):
        parts = [parts]
    return list(reading.objects(parts or [], f"{path}.parts"))


def _media_or_text(part: Object, path: str) -> Part | None:
    """Nothing for what only Google's servers make: code that they ran, and its results."""
    text = members.optional_text(part, "text", path)
    if text is not None:
        return Text(text) if text else None
    if (inline := member(part, "inlineData")) is not None:
        blob = reading.an_object(inline, f"{path}.inlineData")
        mime_type = members.text(blob, "mimeType", f"{path}.inlineData")
        data = members.text(blob, "data", f"{path}.inlineData")
        name = members.optional_text(blob, "displayName", f"{path}.inlineData")
        return reading.embedded(
            mime_type, _standard(data), f"{path}.inlineData.data", filename=name
        )
    if (file := member(part, "fileData")) is not None:
        where = f"{path}.fileData"
        link = reading.an_object(file, where)
        kind = reading.media_kind(members.optional_text(link, "mimeType", where) or "")
        return MediaRef(kind, f"{where}.fileUri", url=members.text(link, "fileUri", where))
    return None


def _standard(data: str) -> str:
    """Base64 in its usual alphabet: Google's clients may send the one for URLs."""
    return data.replace("-", "+").replace("_", "/") if "-" in data or "_" in data else data
