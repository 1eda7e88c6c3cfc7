"""Conversations in Gemini's words: turns, their media, and calls of tools.

https://ai.google.dev/api/caching#Content
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

import orjson

from gateway.domain.errors import InvalidJson
from gateway.domain.media import Media
from gateway.domain.requests import Message, Text, ToolCall
from gateway.net.codecs.json_body import Base64
from gateway.net.codecs.json_limits import MOST_VALUES, check_depth

# A request may have 100 MB; what is larger or beyond that goes through the Files API.
LARGEST_INLINE_BYTES = 15_000_000
_INLINE_BASE64_TOTAL = 80_000_000

_NAME = "gemini"
_NAMELESS = "tool"
_TOOL_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.:-]{0,63}")

# Gemini 3 refuses its own calls of tools, and pictures, that come back without their signature.
# This one stands in for those that got lost: https://ai.google.dev/gemini-api/docs/thought-signatures#faqs
STAND_IN_SIGNATURE = "skip_thought_signature_validator"


def gemini_name(name: str) -> str:
    """A tool's name as Gemini takes it: up to 64 letters, digits and `_.:-`, no digit first."""
    if not name or _TOOL_NAME.fullmatch(name):
        return name
    written = re.sub(r"[^A-Za-z0-9_.:-]", "_", name)
    if not re.match(r"[A-Za-z_]", written):
        written = f"_{written}"
    if len(written) > 64:  # two long names must not become one
        written = f"{written[:55]}_{sha256(name.encode()).hexdigest()[:8]}"
    return written


def media_of(messages: Sequence[Message]) -> Iterator[Media]:
    """The attachments of all turns, in order, repeated ones too."""
    for message in messages:
        for part in message.parts:
            if isinstance(part, Media):
                yield part


def too_large_to_inline(attachments: Iterator[Media]) -> dict[str, Media]:
    """Attachments that have to be uploaded, by digest."""
    uploads: dict[str, Media] = {}
    total = 0
    for media in attachments:
        if media.digest in uploads:
            continue
        size = media.blob.base64_size
        if media.blob.size > LARGEST_INLINE_BYTES or total + size > _INLINE_BASE64_TOTAL:
            uploads[media.digest] = media
        else:
            total += size
    return uploads


def media_part(media: Media, uris: Mapping[str, str]) -> dict[str, Any]:
    """The attachment as a part: by the URI of its upload, if it has one, else with its bytes."""
    if uri := uris.get(media.digest):
        part: dict[str, Any] = {"fileData": {"mimeType": media.mime_type, "fileUri": uri}}
    else:
        part = {"inlineData": {"mimeType": media.mime_type, "data": Base64(media.blob)}}
    if media.fps is not None and media.kind == "video":
        part["videoMetadata"] = {"fps": media.fps}
    return part


def conversation(
    messages: Sequence[Message],
    uris: Mapping[str, str],
    *,
    signed: bool,
    tool_names: Mapping[str, str],
) -> dict[str, Any]:
    """`contents` and `systemInstruction` of a request.

    `uris` are those of uploaded media, by digest. `signed`: the model insists on signatures.
    `tool_names` are the names that Gemini is given, by the caller's.
    """
    objects = _Objects()
    calls = _Calls(tool_names)
    system: list[dict[str, Any]] = []
    turns: list[dict[str, Any]] = []
    before = None
    for message in messages:
        if message.role == "system":
            said = _parts(message, uris)
            system += [part for part in said if "text" in part]
            parts = [part for part in said if "text" not in part]  # instructions are text only
        elif message.role == "assistant":
            parts = _model_parts(message, uris, objects, calls, signed)
        elif message.role == "tool":
            parts = _result_parts(message, calls, uris, objects)
        else:
            parts = _parts(message, uris)
        if not parts:
            continue
        if message.role == before and before in _ONE_TURN:
            turns[-1]["parts"] += parts
        else:
            turns.append({"role": _ROLES.get(message.role, "user"), "parts": parts})
        before = message.role
    if not turns:  # Gemini wants a turn; instructions alone are one for OpenAI
        turns = [{"role": "user", "parts": system or [{"text": ""}]}]
        system = []
    body: dict[str, Any] = {"contents": turns}
    if system:
        body["systemInstruction"] = {"parts": system}
    return body


_ROLES = {"assistant": "model"}
_ONE_TURN = ("assistant", "tool")  # the results of parallel calls belong together, in one turn


def _parts(message: Message, uris: Mapping[str, str]) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    for part in message.parts:
        if isinstance(part, Text):
            if part.text or part.signature:
                text: dict[str, Any] = {"text": part.text}
                if part.signature:
                    text["thoughtSignature"] = part.signature
                parts.append(text)
        elif isinstance(part, Media):
            parts.append(media_part(part, uris))
    return parts


class _Calls:
    """Tool calls of the conversation so far, to which results belong.

    Some servers number calls anew in each turn, and some give none an id: a result that
    names no call belongs to the next one of the last turn.
    """

    def __init__(self, tool_names: Mapping[str, str]) -> None:
        self._tool_names = tool_names
        self._names: dict[str, str] = {}
        self._waiting: list[str] = []

    def begin(self, calls: Sequence[ToolCall]) -> list[tuple[str, str]]:
        """Id and name of each call of a turn, as Gemini is announced them."""
        announced = [
            (call.id or f"call_{len(self._names)}_{index}", self.name(call.name))
            for index, call in enumerate(calls)
        ]
        self._names |= dict(announced)
        self._waiting = [call_id for call_id, _ in announced]
        return announced

    def answered(self, message: Message) -> tuple[str, str]:
        """Id and name of the call that a tool's message answers."""
        call_id = message.tool_call_id or ""
        if not call_id and self._waiting:
            call_id = self._waiting[0]
        if call_id in self._waiting:
            self._waiting.remove(call_id)
        name = self._names.get(call_id) or self.name(message.name or call_id)
        return call_id, name or _NAMELESS

    def name(self, name: str) -> str:
        return self._tool_names.get(name) or gemini_name(name)


def _model_parts(
    message: Message,
    uris: Mapping[str, str],
    objects: _Objects,
    calls: _Calls,
    signed: bool,
) -> list[dict[str, Any]]:
    parts = [*_thoughts(message), *_parts(message, uris)]
    if signed:
        for part in parts:
            if "text" not in part:
                part["thoughtSignature"] = STAND_IN_SIGNATURE
    return parts + _call_parts(message.tool_calls, objects, calls, signed)


def _thoughts(message: Message) -> list[dict[str, Any]]:
    """Reasoning that Gemini has signed; other reasoning would be read as its own words."""
    return [
        {"text": block.text, "thought": True, "thoughtSignature": block.signature}
        for block in message.reasoning
        if block.signature and message.vendor in (None, _NAME)
    ]


def _call_parts(
    tool_calls: Sequence[ToolCall], objects: _Objects, calls: _Calls, signed: bool
) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    announced = calls.begin(tool_calls)
    for index, (call, (call_id, name)) in enumerate(zip(tool_calls, announced, strict=True)):
        arguments = objects.read(call.arguments, "arguments")
        part: dict[str, Any] = {"functionCall": {"id": call_id, "name": name, "args": arguments}}
        if call.signature:
            part["thoughtSignature"] = call.signature
        elif signed and index == 0:  # of parallel calls only the first is signed
            part["thoughtSignature"] = STAND_IN_SIGNATURE
        parts.append(part)
    return parts


def _result_parts(
    message: Message, calls: _Calls, uris: Mapping[str, str], objects: _Objects
) -> list[dict[str, Any]]:
    """The result of a tool, with the images it made as parts of their own."""
    call_id, name = calls.answered(message)
    result = objects.read(message.text, "result")
    response = {"id": call_id, "name": name, "response": result}
    images = [media_part(part, uris) for part in message.parts if isinstance(part, Media)]
    return [{"functionResponse": response}, *images]


class _Objects:
    """Reads the JSON texts of one request's tools, which its own check takes for mere text.

    They may hold as much structure together as a body; what is beyond stays text.
    """

    def __init__(self) -> None:
        self._left = MOST_VALUES

    def read(self, text: str, key: str) -> dict[str, Any]:
        """The text as an object; a list or a text becomes the one field `key` of an object.

        A text that is a number to JSON stays the text that it is: 3.10 is a version.
        """
        if not text.strip():
            return {}
        value = self._value(text)
        if isinstance(value, dict):
            return value
        return {key: value if isinstance(value, list) else text}

    def _value(self, text: str) -> Any:
        size = sum(map(text.count, ",[{"))  # there are no more values, but for one
        if size > self._left:
            return text
        try:
            value = orjson.loads(text)
            check_depth(text.encode(), value)
        except (orjson.JSONDecodeError, InvalidJson):
            return text
        self._left -= size
        return value
