"""Opaque members of a model's turn, packed into the one string that a dialect sends back.

A vendor's signatures have to return with the turn that they belong to. A dialect has a
place for one opaque string (a thinking block's `signature`, `encrypted_content`), which its
clients return unchanged; everything that the vendor needs travels in it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from gateway.domain.requests import Message, Part, ReasoningBlock, ToolCall

_MARK = b"gw1"
_LONGEST = 4 * 1024 * 1024  # characters


@dataclass(frozen=True, slots=True)
class Carried:
    """Opaque members of a part of a turn, with the upstream that they came from."""

    vendor: str
    signature: str | None = None  # of the reasoning
    text: str = ""  # reasoning that the caller is not shown
    calls: Mapping[str, str] = field(default_factory=dict)  # signatures by the id of the call
    fields: Mapping[str, Any] = field(default_factory=dict)  # `VendorFields`

    def __bool__(self) -> bool:
        return bool(self.signature or self.text or self.calls or self.fields)


def pack(carried: Carried) -> str:
    names = {"s": carried.signature, "t": carried.text, "c": carried.calls, "f": carried.fields}
    content = {name: value for name, value in names.items() if value}
    return base64.b64encode(_MARK + orjson.dumps({"v": carried.vendor, **content})).decode()


def unpack(text: object) -> Carried | None:
    """The members that `pack` wrote; None for a string that this gateway did not write."""
    if not isinstance(text, str) or not 4 < len(text) <= _LONGEST:
        return None
    try:
        raw = base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
        found = orjson.loads(raw.removeprefix(_MARK)) if raw.startswith(_MARK) else None
    except (binascii.Error, ValueError):
        return None
    if not isinstance(found, dict) or not isinstance(found.get("v"), str):
        return None
    signature, hidden = found.get("s"), found.get("t")
    calls, fields = found.get("c"), found.get("f")
    return Carried(
        found["v"],
        signature=signature if isinstance(signature, str) else None,
        text=hidden if isinstance(hidden, str) else "",
        calls={k: v for k, v in calls.items() if isinstance(v, str)}
        if isinstance(calls, dict)
        else {},
        fields=fields if isinstance(fields, dict) else {},
    )


class Turn:
    """A model's turn that a client sends back, put together block by block."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.calls: list[ToolCall] = []
        self._reasoning: list[ReasoningBlock] = []
        self._signatures: dict[str, str] = {}
        self._fields: dict[str, Any] = {}
        self._vendor: str | None = None

    def add_reasoning(self, text: str, opaque: object = None) -> None:
        """Add a block of reasoning; a foreign opaque string is left out."""
        carried = unpack(opaque)
        if carried is None:
            if text:
                self._reasoning.append(ReasoningBlock(text))
            return
        self._vendor = carried.vendor
        self._signatures |= carried.calls
        self._fields |= carried.fields
        if text or carried.text or carried.signature:
            self._reasoning.append(ReasoningBlock(text or carried.text, carried.signature))

    def add_own_reasoning(self, text: str, signature: str | None) -> None:
        """Add a block of reasoning with its vendor's own signature."""
        if text or signature:
            self._reasoning.append(ReasoningBlock(text, signature))

    def __bool__(self) -> bool:
        return bool(self.parts or self.calls or self._reasoning)

    def message(self) -> Message:
        return Message(
            "assistant",
            tuple(self.parts),
            tool_calls=tuple(self._signed(self.calls)),
            reasoning=tuple(self._reasoning),
            vendor_fields=self._fields,
            vendor=self._vendor,
        )

    def _signed(self, calls: Sequence[ToolCall]) -> list[ToolCall]:
        return [
            ToolCall(call.id, call.name, call.arguments, signature)
            if (signature := self._signatures.get(call.id))
            else call
            for call in calls
        ]
