"""The messages of a chat request in OpenAI's shape, as two of the vendors take them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gateway.simulators.chat.replies import count_tokens
from gateway.simulators.fields import Fields
from gateway.simulators.media.media_info import MediaInfo
from gateway.simulators.prompt_cache import Message

_TOKENS_PER_MEDIUM = 256

MediaReader = Callable[[Fields], MediaInfo]
"""Reads the part that carries a medium; raises the vendor's error."""


def lacks_reasoning(body: Fields) -> bool:
    """Return true where a message with tool calls comes back without its reasoning."""
    return any(
        "tool_calls" in message
        and "reasoning_content" not in message
        and "reasoning_details" not in message
        for message in body.objects("messages")
    )


@dataclass(frozen=True, slots=True)
class Conversation:
    """Content of the messages, as far as a simulated model needs it."""

    turns: int
    last: str
    last_role: str
    seen: tuple[MediaInfo, ...]
    tokens: int
    messages: tuple[Message, ...]


def read(body: Fields, roles: tuple[str, ...], media: Mapping[str, MediaReader]) -> Conversation:
    """Check all messages and load all media; `media` maps types of parts to their readers."""
    body.require("messages")
    turns, last, role = 0, "", ""
    seen: list[MediaInfo] = []
    prompt: list[Message] = []
    for message in body.objects("messages"):
        message.require("role")
        role = message.choice("role", roles) or ""
        before = len(seen)
        text = _read_content(message, role, media, seen)
        tokens = count_tokens(text) + _TOKENS_PER_MEDIUM * (len(seen) - before)
        prompt.append(Message(message.data, tokens))
        turns += role == "user"
        if role in ("user", "tool"):
            last = text
    if not role:
        raise body.invalid("messages", "must have at least one message")
    tokens = sum(message.tokens for message in prompt)
    return Conversation(turns, last, role, tuple(seen), tokens, tuple(prompt))


def _read_content(
    message: Fields, role: str, media: Mapping[str, MediaReader], seen: list[MediaInfo]
) -> str:
    if role == "tool":
        message.required_text("tool_call_id")
    if role == "assistant":
        _read_tool_calls(message)
        if "tool_calls" in message and "content" not in message:
            return ""
    content = message.data.get("content")
    if isinstance(content, str):
        return content
    message.require("content")
    texts = []
    for part in message.objects("content"):
        kind = part.required_text("type")
        if kind == "text":
            part.require("text")
            texts.append(part.text("text") or "")
        elif kind in media and role in ("user", "tool"):
            seen.append(media[kind](part))
        else:
            raise part.invalid("type", f"{kind!r} is not supported in a message of role {role}")
    return " ".join(texts)


def _read_tool_calls(message: Fields) -> None:
    for call in message.objects("tool_calls"):
        call.required_text("id")
        function = call.required_inner("function")
        function.required_text("name")
        function.text("arguments")
