"""Messages and their content parts, in every spelling that clients send them.

Hand-written where a nested schema would be: messages are most of a request, and this
walk costs a tenth of it. Errors carry the path of the field (`messages[0].content[1]`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gateway.api.schemas.turns import (
    answered_call,
    reasoning_blocks,
    signature_of,
    tool_calls,
    vendor_fields,
    with_answers_in_place,
)
from gateway.api.schemas.values import not_empty, optional_text
from gateway.domain.errors import InvalidRequest, MissingField
from gateway.domain.media import MediaKind, MediaRef
from gateway.domain.requests import Message, Part, Role, Text

ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "model": "assistant",
    "tool": "tool",
    "function": "tool",
}
MOST_MESSAGES = 20_000
_GENERATED: tuple[tuple[str, MediaKind], ...] = (("images", "image"), ("videos", "video"))


def messages(value: object) -> tuple[Message, ...]:
    """Raises InvalidRequest naming the field."""
    if not isinstance(value, list):
        raise InvalidRequest("messages must be a list of messages.", param="messages")
    if not value:
        raise InvalidRequest("messages must hold at least one message.", param="messages")
    if len(value) > MOST_MESSAGES:
        raise InvalidRequest(
            f"messages holds {len(value)} messages; {MOST_MESSAGES} is the most.",
            param="messages",
            code="too_many_messages",
        )
    read = [_message(item, f"messages[{i}]") for i, item in enumerate(value)]
    return with_answers_in_place(read)


def _message(value: object, path: str) -> Message:
    if not isinstance(value, dict):
        raise InvalidRequest(f"{path} must be an object.", param=path)
    role_name = value.get("role")
    if role_name is None:
        raise MissingField(f"{path}.role is required.", param=f"{path}.role")
    role = ROLES.get(role_name) if isinstance(role_name, str) else None
    if role is None:
        raise InvalidRequest(
            f"{path}.role must be one of {', '.join(ROLES)}.", param=f"{path}.role"
        )
    content = value.get("content")
    if isinstance(content, str):
        parts: tuple[Part, ...] = (Text(content),)
    else:
        parts = _content(content, f"{path}.content")
    if len(value) == 2 and "content" in value:  # beside the role: nearly every message
        return Message(role, parts)
    name = optional_text(value.get("name"), f"{path}.name")
    if role != "assistant":
        return Message(role, parts, name=name, tool_call_id=answered_call(value, path))
    if not any(isinstance(part, MediaRef) for part in parts):
        parts += _generated(value, path)
    return Message(
        role,
        _signed(parts, signature_of(value)),
        name=name,
        tool_calls=tool_calls(value, path),
        reasoning=reasoning_blocks(value, path),
        vendor_fields=vendor_fields(value),
    )


def _signed(parts: tuple[Part, ...], signature: str | None) -> tuple[Part, ...]:
    """The parts, with the message's own signature on the last text."""
    if signature is None:
        return parts
    for place in range(len(parts) - 1, -1, -1):
        part = parts[place]
        if isinstance(part, Text) and part.signature is None:
            return (*parts[:place], Text(part.text, signature), *parts[place + 1 :])
    return (*parts, Text("", signature))


def _generated(value: Mapping[str, Any], path: str) -> tuple[Part, ...]:
    """The pictures and videos of an answer that comes back as a turn; its content may lack them."""
    found: list[Part] = []
    for name, kind in _GENERATED:
        items = value.get(name)
        for position, item in enumerate(items if isinstance(items, list) else ()):
            link = item.get(f"{kind}_url", item) if isinstance(item, dict) else item
            found.append(media_ref(link, kind, f"{path}.{name}[{position}]"))
    return tuple(found)


def content_parts(value: object, path: str) -> tuple[Part, ...]:
    """The parts of a list. Raises InvalidRequest when there is none."""
    parts = _content(value, path)
    if not parts:
        raise InvalidRequest(f"{path} must not be empty.", param=path)
    return parts


def _content(value: object, path: str) -> tuple[Part, ...]:
    if value is None:
        return ()
    if isinstance(value, str):
        return (Text(value),)
    if isinstance(value, dict):  # one part without its list
        value = [value]
    if not isinstance(value, list):
        raise InvalidRequest(f"{path} must be a string or a list of parts.", param=path)
    parts = [_part(item, f"{path}[{i}]") for i, item in enumerate(value)]
    return tuple([part for part in parts if part is not None])


def _part(value: object, path: str) -> Part | None:
    if isinstance(value, str):
        return Text(value)
    if not isinstance(value, dict):
        raise InvalidRequest(f"{path} must be an object.", param=path)
    kind = value.get("type")
    if kind is None:
        kind = next((name for name in _PARTS if name in value), None)
    if kind is None:
        raise MissingField(f"{path}.type is required.", param=f"{path}.type")
    read = _PARTS.get(kind) if isinstance(kind, str) else None
    if read is None:
        raise InvalidRequest(
            f"{path}.type {str(kind)[:64]!r} is not supported; "
            "use text, image_url, video_url, input_audio or file.",
            param=f"{path}.type",
            code="unsupported_part",
        )
    return read(value, path)


def _text_part(value: Mapping[str, Any], path: str) -> Part | None:
    text = value.get("text")
    if text is None:
        raise MissingField(f"{path}.text is required.", param=f"{path}.text")
    if not isinstance(text, str):
        raise InvalidRequest(f"{path}.text must be a string.", param=f"{path}.text")
    signature = signature_of(value)
    return Text(text, signature) if text or signature else None


def _refusal_part(value: Mapping[str, Any], path: str) -> Part | None:
    text = optional_text(value.get("refusal"), f"{path}.refusal")
    return Text(text) if text else None


def _ignored_part(value: Mapping[str, Any], path: str) -> Part | None:
    return None


def _linked(kind: MediaKind, *keys: str) -> Callable[[Mapping[str, Any], str], Part | None]:
    """A part whose link is under one of `keys`, as a string or as {"url": …}."""

    def read(value: Mapping[str, Any], path: str) -> Part | None:
        for key in keys:
            if (link := value.get(key)) is not None:
                return media_ref(link, kind, f"{path}.{key}", beside=value)
        if value.get("file_id") is not None:
            return media_ref(value, kind, path)
        raise MissingField(f"{path}.{keys[0]} is required.", param=f"{path}.{keys[0]}")

    return read


def media_ref(
    link: object, kind: MediaKind, path: str, *, beside: Mapping[str, Any] | None = None
) -> MediaRef:
    """A link as a string, `{"url": …}`, `{"file_data": …}` or `{"file_id": …}`.

    `beside` is the part around it, where some clients put `fps` and `detail`.
    """
    if isinstance(link, str):
        return MediaRef(kind, path, url=not_empty(link, path), fps=_fps(beside, path))
    if not isinstance(link, Mapping):
        raise InvalidRequest(f"{path} must be a string or an object.", param=path)
    options = {
        "filename": optional_text(link.get("filename"), f"{path}.filename"),
        "detail": optional_text(link.get("detail"), f"{path}.detail"),
    }
    fps = _fps(link, path) or _fps(beside, path)
    for key in ("url", "file_data", "file_url", "data"):
        if (text := link.get(key)) is not None:
            if isinstance(text, Mapping):
                return media_ref(text, kind, f"{path}.{key}", beside=link)
            url = not_empty(text, f"{path}.{key}")
            return MediaRef(kind, f"{path}.{key}", url=url, fps=fps, **options)
    if (file_id := link.get("file_id")) is not None:
        name = not_empty(file_id, f"{path}.file_id")
        return MediaRef(kind, f"{path}.file_id", file_id=name, fps=fps, **options)
    raise MissingField(f"{path}.url is required.", param=f"{path}.url")


def _file_part(value: Mapping[str, Any], path: str) -> Part | None:
    """`file`, `file_url`, `file_data` or `file_id`, nested in `file` or not."""
    for key in ("file", "file_url"):
        if (link := value.get(key)) is not None:
            return media_ref(link, "file", f"{path}.{key}", beside=value)
    if any(value.get(key) is not None for key in ("file_data", "file_id", "url")):
        return media_ref(value, "file", path)
    raise MissingField(f"{path}.file is required.", param=f"{path}.file")


def _audio_part(value: Mapping[str, Any], path: str) -> Part | None:
    audio = value.get("input_audio")
    if not isinstance(audio, Mapping):
        raise MissingField(f"{path}.input_audio is required.", param=f"{path}.input_audio")
    data = audio.get("data")
    if isinstance(data, str) and data and not data.startswith(("data:", "http:", "https:")):
        data = f"data:audio/{audio.get('format') or 'wav'};base64,{data}"
        return MediaRef("audio", f"{path}.input_audio.data", url=data)
    return media_ref(audio, "audio", f"{path}.input_audio")


def _fps(value: Mapping[str, Any] | None, path: str) -> float | None:
    fps = value.get("fps") if value else None
    if fps is None:
        return None
    if not isinstance(fps, int | float) or isinstance(fps, bool) or not 0 < fps <= 60:
        raise InvalidRequest(f"{path}.fps must be a number up to 60.", param=f"{path}.fps")
    return float(fps)


_PARTS: dict[str, Callable[[Mapping[str, Any], str], Part | None]] = {
    "text": _text_part,
    "input_text": _text_part,
    "output_text": _text_part,
    "image_url": _linked("image", "image_url", "url"),
    "input_image": _linked("image", "image_url", "url"),
    "image": _linked("image", "image", "image_url", "url"),
    "video_url": _linked("video", "video_url", "url"),
    "input_video": _linked("video", "video_url", "url"),
    "video": _linked("video", "video", "video_url", "url"),
    "audio_url": _linked("audio", "audio_url", "url"),
    "input_audio": _audio_part,
    "file": _file_part,
    "input_file": _file_part,
    "refusal": _refusal_part,
    "thinking": _ignored_part,
    "reasoning": _ignored_part,
}
