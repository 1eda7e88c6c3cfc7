"""Messages and their content blocks as Anthropic has them, read into the domain's turns.

https://docs.anthropic.com/en/api/messages
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from gateway.api.dialects import reading
from gateway.api.dialects.carrier import Turn
from gateway.api.dialects.reading import Object
from gateway.domain.errors import InvalidRequest, MissingField
from gateway.domain.media import MediaKind, MediaRef
from gateway.domain.requests import Message, Part, Text, ToolCall

_MOST_MESSAGES = 100_000
_BILLING = "x-anthropic-billing-header:"  # a line for Anthropic's own servers
_IN_USER_TURNS = "text, image, document, search_result or tool_result"


def system_message(value: object) -> Message | None:
    """The instructions: a string, or a list of text blocks."""
    parts = tuple(
        part
        for part in _parts(value, "system")
        if isinstance(part, Text) and not part.text.startswith(_BILLING)
    )
    return Message("system", parts) if parts else None


def turns(value: object) -> list[Message]:
    """The messages of a request. Raises InvalidRequest naming the field."""
    found: list[Message] = []
    if not isinstance(value, list) or not value:
        raise InvalidRequest("messages must be a list of at least one message.", param="messages")
    if len(value) > _MOST_MESSAGES:
        raise InvalidRequest(
            f"messages holds {len(value)} messages; {_MOST_MESSAGES} is the most.",
            param="messages",
            code="too_many_messages",
        )
    for message, path in reading.objects(value, "messages"):
        content = message.get("content")
        match message.get("role"):
            case "user":
                found += _user(content, f"{path}.content")
            case "assistant":
                found += _assistant(content, f"{path}.content")
            case "system":
                found.append(Message("system", tuple(_parts(content, f"{path}.content"))))
            case None:
                raise MissingField(f"{path}.role is required.", param=f"{path}.role")
            case _:
                raise InvalidRequest(
                    f"{path}.role must be user, assistant or system.", param=f"{path}.role"
                )
    return found


def referenced_tools(value: object) -> frozenset[str]:
    """Names of the deferred tools that results of a tool search have named."""
    found: set[str] = set()
    for block in _blocks_of(value):
        if block.get("type") == "tool_result":
            inner = block.get("content")
            for item in inner if isinstance(inner, list) else ():
                if isinstance(item, dict) and item.get("type") == "tool_reference":
                    found.add(str(item.get("tool_name")))
    return frozenset(found)


def _blocks_of(messages: object) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    for message in messages if isinstance(messages, list) else ():
        content = message.get("content") if isinstance(message, dict) else None
        if isinstance(content, list):
            found += [block for block in content if isinstance(block, dict)]
    return found


def _user(content: object, path: str) -> list[Message]:
    """A user turn; each tool result in it is a message of its own, in its place."""
    if isinstance(content, str):
        return [Message("user", (Text(content),))]
    found: list[Message] = []
    parts: list[Part] = []
    for block, where in reading.objects(content, path):
        if block.get("type") == "tool_result":
            if parts:
                found.append(Message("user", tuple(parts)))
                parts = []
            found.append(_tool_result(block, where))
        else:
            parts += _part(block, where)
    if parts or not found:
        found.append(Message("user", tuple(parts)))
    return found


def _tool_result(block: Object, path: str) -> Message:
    parts = _parts(block.get("content"), f"{path}.content")
    if block.get("is_error") is True and not parts:
        parts = [Text("The tool failed.")]
    return Message("tool", tuple(parts), tool_call_id=reading.text(block, "tool_use_id", path))


def _assistant(content: object, path: str) -> list[Message]:
    if isinstance(content, str):
        return [Message("assistant", (Text(content),))]
    turn = Turn()
    for block, where in reading.objects(content, path):
        match block.get("type"):
            case "text":
                if said := reading.text(block, "text", where):
                    turn.parts.append(Text(said))
            case "thinking":
                thought = reading.optional_text(block, "thinking", where) or ""
                turn.add_reasoning(thought, block.get("signature"))
            case "redacted_thinking":
                turn.add_reasoning("", block.get("data"))
            case "tool_use":
                turn.calls.append(_tool_use(block, where))
            case "image" | "document":
                turn.parts += _part(block, where)
            case _:
                pass  # results of tools that Anthropic's servers run, for those alone
    return [turn.message()] if turn else []


def _tool_use(block: Object, path: str) -> ToolCall:
    arguments = reading.optional_object(block, "input", path)
    return ToolCall(
        reading.text(block, "id", path),
        reading.text(block, "name", path),
        orjson.dumps(arguments).decode(),
    )


def _parts(content: object, path: str) -> list[Part]:
    """A string, or a list of blocks without tool results; nothing where it is not given."""
    if content is None:
        return []
    if isinstance(content, str):
        return [Text(content)] if content else []
    return [part for block, where in reading.objects(content, path) for part in _part(block, where)]


def _part(block: Object, path: str) -> list[Part]:
    match block.get("type"):
        case "text":
            said = reading.text(block, "text", path)
            return [Text(said)] if said else []
        case "image" | "document":
            return _source(block, path)
        case "search_result":
            title = reading.optional_text(block, "title", path)
            source = reading.optional_text(block, "source", path)
            head = Text(" ".join(filter(None, (title, source))))
            return [head, *_parts(block.get("content"), f"{path}.content")]
        case "tool_reference":
            name = reading.text(block, "tool_name", path)
            return [Text(f"The tool {name} is available now.")]
        case None:
            raise MissingField(f"{path}.type is required.", param=f"{path}.type")
        case kind:
            raise reading.unsupported(kind, path, _IN_USER_TURNS)


def _source(block: Object, path: str) -> list[Part]:
    """The media of an image or a document, or the text of a document."""
    source, where = reading.optional_object(block, "source", path), f"{path}.source"
    kind: MediaKind = "image" if block["type"] == "image" else "file"
    title = reading.optional_text(block, "title", path)
    match source.get("type"):
        case "base64":
            data = reading.text(source, "data", where)
            mime_type = reading.text(source, "media_type", where)
            return [reading.embedded(mime_type, data, f"{where}.data", filename=title)]
        case "url":
            url = reading.text(source, "url", where)
            return [MediaRef(kind, f"{where}.url", url=url, filename=title)]
        case "file":
            file_id = reading.text(source, "file_id", where)
            return [MediaRef(kind, f"{where}.file_id", file_id=file_id, filename=title)]
        case "text":
            data = reading.text(source, "data", where)
            return [Text(f"{title}\n{data}" if title else data)]
        case "content":
            return _parts(source.get("content"), f"{where}.content")
        case other:
            raise reading.unsupported(other, where, "base64, url, file, text or content")
