"""Input items of the Responses API, read into the domain's turns.

https://platform.openai.com/docs/api-reference/responses/create
"""

from __future__ import annotations

from typing import Any

from gateway.api.dialects import reading
from gateway.api.dialects.carrier import Turn
from gateway.api.dialects.reading import Object
from gateway.api.dialects.responses.tools import Tools, custom_arguments
from gateway.api.schemas.parts import media_ref
from gateway.domain.errors import InvalidRequest
from gateway.domain.media import EmbeddedUrl
from gateway.domain.requests import Message, Part, Role, Text, ToolCall

_MOST_ITEMS = 100_000
_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}
_PARTS = "input_text, input_image, input_file or output_text"
_CALLS = ("function_call", "custom_tool_call")
_OUTPUTS = ("function_call_output", "custom_tool_call_output")


def as_items(value: object) -> list[dict[str, Any]]:
    """The items of `input`, which may be a mere string. Raises InvalidRequest."""
    if value is None:
        return []
    if isinstance(value, str):
        part = {"type": "input_text", "text": value}
        return [{"type": "message", "role": "user", "content": [part]}]
    if isinstance(value, list) and len(value) > _MOST_ITEMS:
        raise InvalidRequest(
            f"input holds {len(value)} items; {_MOST_ITEMS} is the most.", param="input"
        )
    return [dict(item) for item, _ in reading.objects(value, "input")]


def as_sent(value: Any) -> Any:
    """Items with their attachments as the text that was in the request."""
    if isinstance(value, EmbeddedUrl):
        return value.whole()
    if isinstance(value, dict):
        return {name: as_sent(item) for name, item in value.items()}
    return [as_sent(item) for item in value] if isinstance(value, list) else value


def turns(items: list[dict[str, Any]], tools: Tools, *, stored: int = 0) -> list[Message]:
    """The turns that the items make; all that a model said at once is one turn.

    The first `stored` of them are not in the request.
    """
    found: list[Message] = []
    turn = Turn()
    for place, item in enumerate(items):
        where = f"input[{place - stored}]"
        kind = item.get("type")
        role = item.get("role")
        if kind in (None, "message") and role == "assistant":
            turn.parts += _content(item.get("content"), f"{where}.content")
        elif kind in _CALLS:
            turn.calls.append(_call(item, where, tools))
        elif kind == "reasoning":
            turn.add_reasoning(_thoughts(item, where), item.get("encrypted_content"))
        elif kind in (None, "message", *_OUTPUTS):
            if turn:
                found.append(turn.message())
                turn = Turn()
            found.append(_output(item, where) if kind in _OUTPUTS else _message(item, where))
        # Items of tools that OpenAI's servers run are for those alone.
    if turn:
        found.append(turn.message())
    return found


def offered_tools(items: list[dict[str, Any]]) -> list[tuple[object, str]]:
    """Lists of tools that stand among the items, each with its path."""
    return [
        (item.get("tools"), f"input[{place}].tools")
        for place, item in enumerate(items)
        if item.get("type") == "additional_tools"
    ]


def _message(item: Object, path: str) -> Message:
    role = _ROLES.get(reading.text(item, "role", path))
    if role is None:
        raise InvalidRequest(
            f"{path}.role must be one of {', '.join(_ROLES)}.", param=f"{path}.role"
        )
    return Message(role, tuple(_content(item.get("content"), f"{path}.content")))


def _content(value: object, path: str) -> list[Part]:
    if value is None:
        return []
    if isinstance(value, str):
        return [Text(value)] if value else []
    return [found for part, where in reading.objects(value, path) for found in _part(part, where)]


def _part(part: Object, path: str) -> list[Part]:
    match part.get("type"):
        case "input_text" | "output_text" | "text" | "summary_text":
            text = reading.text(part, "text", path)
            return [Text(text)] if text else []
        case "refusal":
            return [Text(reading.text(part, "refusal", path))]
        case "input_image":
            link = part.get("image_url")
            if isinstance(link, str):
                link = {"url": link, "detail": part.get("detail")}
            return [media_ref(link or part, "image", f"{path}.image_url")]
        case "input_file":
            return [media_ref(part, "file", path)]
        case "input_audio":
            audio = reading.optional_object(part, "input_audio", path)
            data = reading.text(audio, "data", f"{path}.input_audio")
            mime_type = f"audio/{audio.get('format') or 'wav'}"
            return [reading.embedded(mime_type, data, f"{path}.input_audio.data")]
        case kind:
            raise reading.unsupported(kind, path, _PARTS)


def _call(item: Object, path: str, tools: Tools) -> ToolCall:
    name = tools.name_of(item.get("namespace"), reading.text(item, "name", path))
    call_id = reading.text(item, "call_id", path)
    if item.get("type") == "custom_tool_call":
        return ToolCall(call_id, name, custom_arguments(reading.text(item, "input", path)))
    arguments = reading.optional_text(item, "arguments", path) or "{}"
    return ToolCall(call_id, name, arguments)


def _output(item: Object, path: str) -> Message:
    parts = _content(item.get("output"), f"{path}.output")
    return Message("tool", tuple(parts), tool_call_id=reading.text(item, "call_id", path))


def _thoughts(item: Object, path: str) -> str:
    """The reasoning itself where it is there, else its summary."""
    for name in ("content", "summary"):
        if parts := item.get(name):
            said = [
                reading.optional_text(part, "text", where) or ""
                for part, where in reading.objects(parts, f"{path}.{name}")
            ]
            return "\n\n".join(filter(None, said))
    return ""
