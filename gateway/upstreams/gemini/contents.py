"""Conversations in Gemini's words: turns, their media, and calls of tools.

https://ai.google.dev/api/caching#Content
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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

# Gemini 3 refuses its own calls of tools, and pictures, that come back without their signature.
# This one stands in for those that got lost: https://ai.google.dev/gemini-api/docs/thought-signatures#faqs
STAND_IN_SIGNATURE = "skip_thought_signature_validator"


def media_of(messages: Sequence[Message]) -> Iterator[Media]:
    """The attachments of all turns, in order, repeated ones too."""
    for message in messages:
        for part in message.parts:
            if isinstance(part, Media):
                yield part


def too_large_to_inline(attachments: Iterator[Media]) -> dict[str, Media]:
    """Those that have to be uploaded, by digest."""
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
    messages: Sequence[Message], uris: Mapping[str, str], *, signed: bool
) -> dict[str, Any]:
    """`contents` and `systemInstruction` of a request.

    `uris` are those of uploaded media, by digest. `signed`: the model insists on signatures.
    """
    objects = _Objects()
    names: dict[str, str] = {}  # of the calls so far: some servers number them anew in each turn
    system: list[dict[str, Any]] = []
    turns: list[dict[str, Any]] = []
    before = None
    for message in messages:
        if message.role == "system":
            said = _parts(message, uris)
            system += [part for part in said if "text" in part]
            parts = [part for part in said if "text" not in part]  # instructions are text only
        elif message.role == "assistant":
            names |= {call.id: call.name for call in message.tool_calls}
            parts = _model_parts(message, uris, objects, signed)
        elif message.role == "tool":
            parts = _result_parts(message, names, uris, objects)
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
            if part.text:
                parts.append({"text": part.text})
        elif isinstance(part, Media):
            parts.append(media_part(part, uris))
    return parts


def _model_parts(
    message: Message, uris: Mapping[str, str], objects: _Objects, signed: bool
) -> list[dict[str, Any]]:
    parts = _parts(message, uris)
    if signed:
        for part in parts:
            if "text" not in part:
                part["thoughtSignature"] = STAND_IN_SIGNATURE
    return parts + _call_parts(message.tool_calls, objects, signed)


def _call_parts(calls: Sequence[ToolCall], objects: _Objects, signed: bool) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    for index, call in enumerate(calls):
        part: dict[str, Any] = {
            "functionCall": {
                "id": call.id,
                "name": call.name,
                "args": objects.read(call.arguments, "arguments"),
            }
        }
        if call.signature:
            part["thoughtSignature"] = call.signature
        elif signed and index == 0:  # of parallel calls only the first is signed
            part["thoughtSignature"] = STAND_IN_SIGNATURE
        parts.append(part)
    return parts


def _result_parts(
    message: Message, names: Mapping[str, str], uris: Mapping[str, str], objects: _Objects
) -> list[dict[str, Any]]:
    """The result of a tool, with the pictures it made as parts of their own."""
    call_id = message.tool_call_id or ""
    response = {
        "id": call_id,
        "name": names.get(call_id) or message.name or call_id,
        "response": objects.read(message.text, "result"),
    }
    pictures = [media_part(part, uris) for part in message.parts if isinstance(part, Media)]
    return [{"functionResponse": response}, *pictures]


class _Objects:
    """Reads the JSON texts of one request's tools, which its own check takes for mere text.

    They may hold as much structure together as a body; what is beyond stays text.
    """

    def __init__(self) -> None:
        self._left = MOST_VALUES

    def read(self, text: str, key: str) -> dict[str, Any]:
        """The text as an object; whatever is none becomes the one field `key` of an object."""
        if not text.strip():
            return {}
        value = self._value(text)
        return value if isinstance(value, dict) else {key: value}

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
