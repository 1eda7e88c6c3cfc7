"""Limits on the structure of a JSON text.

Parsed, 100 MB of `[],[],…` are gigabytes, and the process does nothing else for a minute.
A document nested deeper than its writer's stack breaks later, where it is walked or sent.
"""

from __future__ import annotations

from typing import Any

import orjson

from gateway.domain.errors import InvalidJson, InvalidRequest
from gateway.runtime.cooperative import YieldBudget

MOST_VALUES = 200_000
_QUOTES = 4  # at most, around the key and the text of one value
_PIECE = 256 * 1024
_WRITABLE = 254  # levels that orjson writes; it reads 1024
_ROOM = 32  # of these for the levels that the gateway puts around


def check_values(text: bytes | bytearray) -> None:
    """Raise InvalidRequest when `text` has more values than a request can need."""
    if holds_too_many_values(text):
        raise InvalidRequest(
            f"The body holds more than {MOST_VALUES} values.", code="too_many_values"
        )


def holds_too_many_values(text: bytes | bytearray, most: int = MOST_VALUES) -> bool:
    """True for JSON of more than `most` values.

    Costs next to nothing, unless the texts in it are full of commas.
    """
    if len(text) <= most or text.count(b",") <= most:
        return False
    commas = quotes = 0
    in_string, pending = False, b""
    budget = YieldBudget()
    for start in range(0, len(text), _PIECE):
        plain = pending + text[start : start + _PIECE]
        plain = plain.replace(b"\\\\", b"").replace(b'\\"', b"")
        pending = b"\\" if plain.endswith(b"\\") else b""  # it belongs to the next piece
        strings = plain.split(b'"', _QUOTES * most)
        commas += b"".join(strings[in_string::2]).count(b",")
        quotes += len(strings) - 1
        in_string = quotes % 2 == 1
        if commas > most or quotes >= _QUOTES * most:
            return True
        budget.spend(_PIECE)
    return False


def check_depth(text: bytes | bytearray, document: Any) -> None:
    """Raises InvalidJson when `document`, which `text` says, is nested too deeply."""
    levels = _WRITABLE - _ROOM
    if len(text) < 2 * levels or text.count(b"[") + text.count(b"{") < levels:
        return
    for _ in range(_ROOM):
        document = [document]
    try:
        orjson.dumps(document)
    except orjson.JSONEncodeError as exc:
        raise InvalidJson(f"The body is nested deeper than {levels} levels.") from exc
