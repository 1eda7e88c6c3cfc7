"""Messages in the shape of OpenAI's chat API, which other vendors share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from gateway.domain.media import Media
from gateway.domain.requests import Message, Part, Text
from gateway.net.codecs.json_body import Base64

PartWriter = Callable[[Media, str], dict[str, Any]]


def write_messages(
    messages: Iterable[Message], media_part: PartWriter, *, opaque: bool = True
) -> list[dict[str, Any]]:
    """Write `messages`; `media_part` writes one attachment, given its path in the request.

    Attachments stand in user messages only: those of any other turn go to the front of
    the next user turn, or into one of their own, so that all arrive and in order.
    `opaque`: send reasoning and the vendor's own members of past turns back.
    """
    written: list[dict[str, Any]] = []
    carried: list[dict[str, Any]] = []
    for number, message in enumerate(messages):
        parts = message.parts
        if len(parts) == 1 and type(parts[0]) is Text:
            content, text = [], parts[0].text
        else:
            content, text = _content(parts, number, media_part), message.text
        if message.role == "user":
            if carried and not content and text:
                content = [{"type": "text", "text": text}]
            written.append(_named(message, [*carried, *content] or text))
            carried = []
            continue
        if carried and message.role != "tool":
            written.append({"role": "user", "content": carried})
            carried = []
        carried += [part for part in content if part["type"] != "text"]
        written.append(_other(message, text, opaque))
    if carried:
        written.append({"role": "user", "content": carried})
    return written


def _content(parts: Iterable[Part], number: int, media_part: PartWriter) -> list[dict[str, Any]]:
    content: list[dict[str, Any]] = []
    for place, part in enumerate(parts):
        if isinstance(part, Media):
            content.append(media_part(part, f"messages[{number}].content[{place}]"))
        elif isinstance(part, Text) and part.text:
            content.append({"type": "text", "text": part.text})
    return content


def _named(message: Message, content: Any) -> dict[str, Any]:
    if message.name and message.role != "tool":
        return {"role": message.role, "name": message.name, "content": content}
    return {"role": message.role, "content": content}


def _other(message: Message, text: str, opaque: bool) -> dict[str, Any]:
    item = _named(message, text)
    if message.role == "tool":
        item["tool_call_id"] = message.tool_call_id
    if message.role != "assistant":
        return item
    if message.tool_calls:
        item["content"] = text or None
        item["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments or "{}"},
                **(_signature(call.signature) if opaque and call.signature else {}),
            }
            for call in message.tool_calls
        ]
    if opaque:
        if reasoning := message.reasoning_text:
            item["reasoning_content"] = reasoning
        item |= {name: value for name, value in message.vendor_fields.items() if name not in item}
    return item


def _signature(signature: str) -> dict[str, Any]:
    """A signature of Gemini's in Google's spelling, for servers that have Gemini behind them."""
    return {"extra_content": {"google": {"thought_signature": signature}}}


def media_part(media: Media, path: str) -> dict[str, Any]:
    """Write an attachment as the part that OpenAI and its kin have for its type."""
    kind = media.mime_type.partition("/")[0]
    if kind == "image":
        image: dict[str, Any] = {"url": data_url(media)}
        if media.detail:
            image["detail"] = media.detail
        return {"type": "image_url", "image_url": image}
    if kind == "video":
        video: dict[str, Any] = {"url": data_url(media)}
        if media.fps:
            video["fps"] = media.fps
        return {"type": "video_url", "video_url": video}
    if kind == "audio":
        return {
            "type": "input_audio",
            "input_audio": {"data": Base64(media.blob), "format": _audio_format(media.mime_type)},
        }
    name = media.filename or "file." + media.mime_type.rpartition("/")[2]
    return {"type": "file", "file": {"filename": name, "file_data": data_url(media)}}


def data_url(media: Media) -> Base64:
    return Base64(media.blob, f"data:{media.mime_type.lower()};base64,")


def _audio_format(mime_type: str) -> str:
    subtype = mime_type.rpartition("/")[2].removeprefix("x-")
    return {"mpeg": "mp3", "wave": "wav"}.get(subtype, subtype)
