"""Tool calls of OpenAI's protocol, put right where its servers differ."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.domain.errors import UpstreamInvalidResponse
from gateway.domain.events import Event, ToolCallDelta

MOST_CALLS = 1000


@dataclass(slots=True)
class _Call:
    id: str
    index: int = -1  # until its name is known
    pending: str = ""  # arguments from before its name
    empty: bool = True


class ToolCalls:
    """The tool calls of one choice.

    Vendors count from 1, send index 0 for every call or none at all, leave ids out,
    and repeat id and name with every piece. Events count from 0 without gaps and have
    id and name in the first piece alone.
    """

    __slots__ = ("_by_id", "_by_position", "_calls", "_choice", "_last")

    def __init__(self, choice: int) -> None:
        self._choice = choice
        self._by_position: dict[int, _Call] = {}
        self._by_id: dict[str, _Call] = {}
        self._last: _Call | None = None
        self._calls: list[_Call] = []  # whose names are known

    def read(self, piece: Mapping[str, Any], position: object, events: list[Event]) -> None:
        function = piece.get("function") or {}
        name, given = _text(function.get("name")), _text(piece.get("id"))
        arguments = function.get("arguments")
        if arguments is None:
            arguments = ""
        elif not isinstance(arguments, str):
            arguments = orjson.dumps(arguments).decode()
        call = self._find(given, position if type(position) is int else None, name)
        call.empty = call.empty and not arguments
        if call.index >= 0:
            if arguments:
                events.append(ToolCallDelta(call.index, arguments, choice=self._choice))
        elif name:
            call.index = len(self._calls)
            self._calls.append(call)
            if len(self._calls) > MOST_CALLS:
                raise UpstreamInvalidResponse("The vendor's answer calls too many tools", sent=True)
            arguments = call.pending + arguments
            call.empty = not arguments
            signature = _signature(piece)
            events.append(
                ToolCallDelta(call.index, arguments, call.id, name, signature, self._choice)
            )
        else:
            call.pending += arguments

    def end(self) -> list[Event]:
        """Arguments of the calls that came without any: JSON has no empty text.

        Raises UpstreamInvalidResponse for a call whose name never came.
        """
        if any(call.index < 0 for call in (*self._by_position.values(), *self._by_id.values())):
            raise UpstreamInvalidResponse("The vendor's answer has a nameless tool call", sent=True)
        return [
            ToolCallDelta(call.index, "{}", choice=self._choice)
            for call in self._calls
            if call.empty
        ]

    def _find(self, given: str, position: int | None, name: str) -> _Call:
        if position is not None:
            call = self._by_position.get(position)
            if call and name and given and self._by_id.get(given) is not call:
                call = None
        elif given:
            call = self._by_id.get(given)
        else:
            call = None if name else self._last
        if call is None:
            call = _Call(given or f"call_{secrets.token_hex(12)}")
            if position is not None:
                self._by_position[position] = call
        if given:
            self._by_id[given] = call
        self._last = call
        return call


def _text(value: Any) -> str:
    if value is not None and not isinstance(value, str):
        raise TypeError("a tool call's name and id are text")
    return value or ""


def _signature(piece: Mapping[str, Any]) -> str | None:
    """Gemini's signature of a call, as Google's OpenAI surface and its kin write it."""
    extra = piece.get("extra_content")
    google = extra.get("google") if isinstance(extra, dict) else None
    signature = google.get("thought_signature") if isinstance(google, dict) else None
    return signature if isinstance(signature, str) and signature else None
