"""Members of the turns of a model and its tools, in every spelling that clients send back.

Each vendor has its own place for the opaque tokens that it wants back with a turn:
https://ai.google.dev/gemini-api/docs/thought-signatures#openai,
https://openrouter.ai/docs/use-cases/reasoning-tokens
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from gateway.api.schemas.values import not_empty, optional_text
from gateway.domain.errors import InvalidRequest
from gateway.domain.requests import Message, ReasoningBlock, ToolCall

# Members of a turn that are read here, or that clients add for themselves.
_READ = frozenset(
    {
        *("role", "content", "name", "tool_calls", "function_call", "refusal", "audio"),
        *("images", "videos", "reasoning_content", "extra_content", "annotations"),
    }
)
_CLIENTS_OWN = frozenset(
    {
        *("id", "index", "type", "status", "object", "model", "parts", "metadata", "timestamp"),
        *("created", "created_at", "createdAt", "updated_at", "updatedAt", "finish_reason"),
        *("usage", "logprobs", "cache_control", "tool_call_id", "provider_options"),
        *("providerOptions", "provider_specific_fields", "providerMetadata", "prefix"),
    }
)


def reasoning_blocks(turn: Mapping[str, Any], path: str) -> tuple[ReasoningBlock, ...]:
    """The signed blocks of `reasoning_details`, else `reasoning_content` or `reasoning`."""
    blocks = _signed_blocks(turn.get("reasoning_details"))
    text = optional_text(turn.get("reasoning_content"), f"{path}.reasoning_content")
    if not text and isinstance(plain := turn.get("reasoning"), str):
        text = plain
    if not blocks:
        return (ReasoningBlock(text),) if text else ()
    if text and not any(block.text for block in blocks):
        # A stream has the text first and then the signature, in a block of its own.
        return (ReasoningBlock(text, blocks[0].signature), *blocks[1:])
    return blocks


def _signed_blocks(details: object) -> tuple[ReasoningBlock, ...]:
    blocks = []
    for item in details if isinstance(details, list) else ():
        if isinstance(item, dict) and item.get("type") == "reasoning.text":
            text, signature = item.get("text"), item.get("signature")
            if isinstance(signature, str) and signature:
                blocks.append(ReasoningBlock(text if isinstance(text, str) else "", signature))
    return tuple(blocks)


def vendor_fields(turn: Mapping[str, Any]) -> dict[str, Any]:
    """Members that only the vendor of the turn understands."""
    return {
        name: value
        for name, value in turn.items()
        if value is not None and name not in _READ and name not in _CLIENTS_OWN
    }


def signature_of(value: Mapping[str, Any]) -> str | None:
    """The signature of a call, a part or a turn; one of another form is left out."""
    extra = value.get("extra_content")
    if not isinstance(extra, Mapping):
        return None
    google = extra.get("google")
    signature = google.get("thought_signature") if isinstance(google, Mapping) else None
    signature = signature or extra.get("signature")
    return signature if isinstance(signature, str) and signature else None


def answered_call(value: Mapping[str, Any], path: str) -> str | None:
    """The id of the call that a tool's message answers; functions of old go by their names."""
    call = optional_text(value.get("tool_call_id"), f"{path}.tool_call_id")
    if call is None and value["role"] == "function":
        return _legacy_id(value.get("name"))
    return call


def _legacy_id(name: object) -> str:
    return f"call_{name}"


def tool_calls(value: Mapping[str, Any], path: str) -> tuple[ToolCall, ...]:
    calls = value.get("tool_calls")
    if calls is None:
        legacy = value.get("function_call")
        if not isinstance(legacy, Mapping):
            return ()
        calls = [{"id": _legacy_id(legacy.get("name")), "function": legacy}]
    if not isinstance(calls, list):
        raise InvalidRequest(f"{path}.tool_calls must be a list.", param=f"{path}.tool_calls")
    return tuple([_tool_call(c, f"{path}.tool_calls[{i}]", i) for i, c in enumerate(calls)])


def _tool_call(value: object, path: str, position: int) -> ToolCall:
    function = value.get("function") if isinstance(value, Mapping) else None
    if not isinstance(value, Mapping) or not isinstance(function, Mapping):
        raise InvalidRequest(f"{path}.function is required.", param=f"{path}.function")
    name = not_empty(function.get("name"), f"{path}.function.name")
    arguments = optional_text(function.get("arguments"), f"{path}.function.arguments")
    return ToolCall(
        id=optional_text(value.get("id"), f"{path}.id") or f"call_{position}",
        name=name,
        arguments=arguments or "{}",
        signature=signature_of(value) or signature_of(function),
    )


def with_answers_in_place(messages: Sequence[Message]) -> tuple[Message, ...]:
    """The messages; a tool's answer that names no call belongs to the call in its place."""
    if all(message.tool_call_id or message.role != "tool" for message in messages):
        return tuple(messages)
    placed: list[Message] = []
    waiting: list[str] = []
    for message in messages:
        if message.role == "assistant":
            waiting = [call.id for call in message.tool_calls]
        elif message.role == "tool":
            call_id = message.tool_call_id or (waiting[0] if waiting else None)
            waiting = [other for other in waiting if other != call_id]
            message = replace(message, tool_call_id=call_id)
        placed.append(message)
    return tuple(placed)
