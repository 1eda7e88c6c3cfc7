"""Events as a response object, or as its stream.

https://platform.openai.com/docs/api-reference/responses-streaming
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from typing import Any

from gateway.api.dialects.blocks import Block, Blocks, Sign
from gateway.api.dialects.responses.objects import (
    INCOMPLETE,
    Identity,
    begun,
    completed,
    item,
    kind_of,
    text_part,
)
from gateway.api.dialects.responses.schema import ResponseRequest
from gateway.api.dialects.responses.tools import custom_input
from gateway.api.dialects.stream import event_frame
from gateway.domain.errors import ContextLengthExceeded, GatewayError
from gateway.domain.events import Event, Events
from gateway.net.codecs.sse import unbroken

Keep = Callable[[dict[str, Any]], None]
"""Stores a finished response, where it is to be stored."""


def response(
    batches: Events,
    wanted: ResponseRequest,
    identity: Identity,
    sign: Sign,
    vendor: Callable[[], str],
    keep: Keep,
) -> dict[str, Any]:
    """Read the answer to its end."""
    blocks = Blocks(sign, vendor)
    with closing(batches):
        for batch in batches:
            for event in batch:
                for _ in blocks.feed(event):
                    pass
    found = completed(wanted, identity, blocks)
    keep(found)
    return found


class ResponseStream:
    """Frames of one stream; every event has its number, and every item keeps its id."""

    def __init__(
        self,
        wanted: ResponseRequest,
        identity: Identity,
        sign: Sign,
        vendor: Callable[[], str],
        keep: Keep,
    ) -> None:
        self._wanted = wanted
        self._identity = identity
        self._keep = keep
        self._blocks = Blocks(sign, vendor)
        self._number = 0
        self._begun = False

    def heartbeat(self) -> bytes:
        """The first event when the answer takes long; afterwards one without a meaning."""
        return self._frame("keepalive", {}) if self._begun else self.opening()

    def opening(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        made = begun(self._wanted, self._identity)
        return unbroken(
            self._frame("response.created", {"response": made})
            + self._frame("response.in_progress", {"response": made})
        )

    def batch(self, batch: list[Event]) -> bytes:
        frames = b""
        for event in batch:
            for step, block, text in self._blocks.feed(event):
                match step:
                    case "open":
                        frames += self._open(block)
                    case "delta":
                        frames += self._delta(block, text)
                    case "close":
                        frames += self._close(block)
        return frames

    def ending(self) -> bytes:
        found = completed(self._wanted, self._identity, self._blocks)
        self._keep(found)
        return unbroken(self._frame(f"response.{found['status']}", {"response": found}))

    def failed(self, err: GatewayError) -> bytes:
        """The last frames of a stream that breaks off."""
        code = "context_length_exceeded" if isinstance(err, ContextLengthExceeded) else err.code
        found = begun(self._wanted, self._identity) | {
            "status": "failed",
            "error": {"code": code or "server_error", "message": err.message},
        }
        return self.opening() + unbroken(self._frame("response.failed", {"response": found}))

    def _frame(self, kind: str, payload: dict[str, Any]) -> bytes:
        number, self._number = self._number, self._number + 1
        return event_frame(kind, {"type": kind, "sequence_number": number, **payload})

    def _place(self, block: Block) -> dict[str, Any]:
        return {
            "item_id": self._identity.item_id(block, self._wanted.tools),
            "output_index": block.index,
        }

    def _item(self, block: Block, status: str) -> dict[str, Any]:
        made = item(block, self._identity, self._wanted.tools, status)
        return {"output_index": block.index, "item": made}

    def _open(self, block: Block) -> bytes:
        frames = self._frame("response.output_item.added", self._item(block, "in_progress"))
        if block.kind == "text":
            part = {"content_index": 0, "part": text_part("")}
            frames += self._frame("response.content_part.added", self._place(block) | part)
        return frames

    def _delta(self, block: Block, text: str) -> bytes:
        place = self._place(block)
        match kind_of(block, self._wanted.tools):
            case "text":
                delta = place | {"content_index": 0, "delta": text, "logprobs": []}
                return self._frame("response.output_text.delta", delta)
            case "reasoning":
                frames = b""
                place |= {"summary_index": 0}
                if len(block.pieces) == 1:
                    part = {"part": {"type": "summary_text", "text": ""}}
                    frames = self._frame("response.reasoning_summary_part.added", place | part)
                return frames + self._frame(
                    "response.reasoning_summary_text.delta", place | {"delta": text}
                )
            case "call":
                return self._frame(
                    "response.function_call_arguments.delta", place | {"delta": text}
                )
        return b""  # the input of a custom tool is known when its arguments are complete

    def _close(self, block: Block) -> bytes:
        place, text = self._place(block), block.text
        frames = b""
        match kind_of(block, self._wanted.tools):
            case "text":
                part = text_part(text, block.annotations)
                place |= {"content_index": 0}
                frames = self._frame(
                    "response.output_text.done", place | {"text": text, "logprobs": []}
                ) + self._frame("response.content_part.done", place | {"part": part})
            case "reasoning" if text:
                place |= {"summary_index": 0}
                part = {"type": "summary_text", "text": text}
                frames = self._frame(
                    "response.reasoning_summary_text.done", place | {"text": text}
                ) + self._frame("response.reasoning_summary_part.done", place | {"part": part})
            case "call":
                frames = self._frame(
                    "response.function_call_arguments.done", place | {"arguments": text or "{}"}
                )
            case "custom":
                given = custom_input(text)
                frames = self._frame(
                    "response.custom_tool_call_input.delta", place | {"delta": given}
                ) + self._frame("response.custom_tool_call_input.done", place | {"input": given})
        cut = self._blocks.finish is not None and self._blocks.finish.reason in INCOMPLETE
        status = "incomplete" if cut else "completed"
        return frames + self._frame("response.output_item.done", self._item(block, status))
