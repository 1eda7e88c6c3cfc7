"""Events as Anthropic's message, whole or as a stream.

https://docs.anthropic.com/en/docs/build-with-claude/streaming
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from secrets import token_hex
from typing import Any

import orjson

from gateway.api.dialects.blocks import Block, Blocks, Sign
from gateway.api.dialects.carrier import pack
from gateway.api.dialects.messages.errors import MESSAGES
from gateway.api.dialects.stream import event_frame
from gateway.domain.errors import GatewayError, UpstreamInvalidResponse
from gateway.domain.events import Event, Events, Usage

_STOP_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "content_filter": "refusal",
    "tool_calls": "tool_use",
}


def message(
    batches: Events, model: str, sign: Sign, vendor: Callable[[], str], *, thinking: bool
) -> dict[str, Any]:
    """Read the answer to its end. Raises UpstreamInvalidResponse for unreadable arguments."""
    blocks = Blocks(sign, vendor, reasoning=thinking)
    with closing(batches):
        for batch in batches:
            for event in batch:
                for _ in blocks.feed(event):
                    pass
    content = [_whole(block) for block in blocks.blocks if not _cut(block, blocks)]
    return _message(model, content, blocks.usage) | _ending(blocks)


class MessageStream:
    """Frames of one stream."""

    def __init__(
        self,
        model: str,
        sign: Sign,
        vendor: Callable[[], str],
        *,
        thinking: bool,
        input_tokens: int = 0,  # an estimate: the vendor's count comes at the end
        request_id: str = "",
    ) -> None:
        self._model = model
        self._request_id = request_id
        self._input_tokens = input_tokens
        self._blocks = Blocks(sign, vendor, reasoning=thinking)

    def opening(self) -> bytes:
        before = Usage(prompt_tokens=self._input_tokens)
        start = {"type": "message_start", "message": _message(self._model, [], before)}
        return event_frame("message_start", start)

    def batch(self, batch: list[Event]) -> bytes:
        frames = b""
        for event in batch:
            for step, block, text in self._blocks.feed(event):
                match step:
                    case "open":
                        start = {"index": block.index, "content_block": _empty(block)}
                        frames += _frame("content_block_start", start)
                    case "delta":
                        frames += _delta(block, {"type": _DELTAS[block.kind][0], _key(block): text})
                    case "close":
                        frames += _closing(block)
        return frames

    def ending(self) -> bytes:
        ending = _ending(self._blocks)
        usage = ending.pop("usage")
        return (
            _frame("message_delta", {"delta": ending, "usage": usage})
            + _frame("message_stop", {})
        )  # fmt: skip

    def failed(self, err: GatewayError) -> bytes:
        return MESSAGES.error_frame(err, self._request_id)

    def heartbeat(self) -> bytes:
        return MESSAGES.heartbeat


_DELTAS = {
    "text": ("text_delta", "text"),
    "reasoning": ("thinking_delta", "thinking"),
    "call": ("input_json_delta", "partial_json"),
}


def _key(block: Block) -> str:
    return _DELTAS[block.kind][1]


def _frame(kind: str, payload: dict[str, Any]) -> bytes:
    return event_frame(kind, {"type": kind, **payload})


def _delta(block: Block, delta: dict[str, Any]) -> bytes:
    return _frame("content_block_delta", {"index": block.index, "delta": delta})


def _closing(block: Block) -> bytes:
    frames = b""
    if block.kind == "reasoning":
        frames = _delta(block, {"type": "signature_delta", "signature": _signature(block)})
    elif block.kind == "call" and not block.pieces:
        frames = _delta(block, {"type": "input_json_delta", "partial_json": "{}"})
    return frames + _frame("content_block_stop", {"index": block.index})


def _signature(block: Block) -> str:
    return pack(block.carried) if block.carried else ""


def _empty(block: Block) -> dict[str, Any]:
    match block.kind:
        case "text":
            return {"type": "text", "text": ""}
        case "reasoning":
            return {"type": "thinking", "thinking": "", "signature": ""}
        case "call":
            return {"type": "tool_use", "id": block.id, "name": block.name, "input": {}}


def _whole(block: Block) -> dict[str, Any]:
    content = _empty(block)
    if block.kind == "call":
        content["input"] = _arguments(block.text)
    else:
        content[_key(block)] = block.text
    if block.kind == "reasoning":
        content["signature"] = _signature(block)
    return content


def _cut(block: Block, blocks: Blocks) -> bool:
    """Tell whether the token limit truncated the call, so that its arguments are unreadable."""
    if block.kind != "call" or not blocks.finish or blocks.finish.reason != "length":
        return False
    try:
        _arguments(block.text)
    except UpstreamInvalidResponse:
        return True
    return False


def _arguments(text: str) -> dict[str, Any]:
    try:
        found = orjson.loads(text) if text.strip() else {}
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, dict):
        raise UpstreamInvalidResponse("The model's call of a tool is not valid JSON", sent=True)
    return found


def _message(model: str, content: list[dict[str, Any]], usage: Usage) -> dict[str, Any]:
    return {
        "id": f"msg_{token_hex(12)}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": None,
        "stop_sequence": None,
        "usage": _usage(usage),
    }


def _ending(blocks: Blocks) -> dict[str, Any]:
    finish = blocks.finish
    reason = finish.reason if finish else "stop"
    if reason == "stop" and blocks.has_calls:
        reason = "tool_calls"
    stop_sequence = finish.stop_sequence if finish and reason == "stop" else None
    return {
        "stop_reason": "stop_sequence" if stop_sequence else _STOP_REASONS[reason],
        "stop_sequence": stop_sequence,
        "usage": _usage(blocks.usage),
    }


def _usage(usage: Usage) -> dict[str, Any]:
    """Anthropic counts what its cache had apart from the rest of the input."""
    fresh = usage.prompt_tokens - usage.cached_tokens - usage.cache_write_tokens
    return {
        "input_tokens": max(fresh, 0),
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.completion_tokens,
    }
