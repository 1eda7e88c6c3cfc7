"""How much structure a JSON text of a caller may have.

Parsed, 100 MB of `[],[],…` are gigabytes, and nothing else happens for a minute. What is
nested deeper than a parser's own stack allows to write again breaks later, where it is
walked, sent on or compared.
"""

from __future__ import annotations

from typing import Any

import orjson

from gateway.domain.errors import InvalidJson, InvalidRequest
from gateway.runtime.cooperative import YieldBudget

MOST_VALUES = 200_000
_MOST_QUOTES = 4 * MOST_VALUES  # around each key and each value
_PIECE = 256 * 1024
_WRITABLE = 254  # levels that orjson writes; it reads 1024
_ROOM = 32  # of these for what the gateway puts around


def check_values(text: bytes | bytearray) -> None:
    """Raises InvalidRequest when `text` has more values than a request can need.

    Costs next to nothing, unless the texts in it are full of commas.
    """
    if len(text) <= MOST_VALUES or text.count(b",") <= MOST_VALUES:
        return
    commas = quotes = 0
    inside, held = False, b""
    budget = YieldBudget()
    for start in range(0, len(text), _PIECE):
        plain = held + text[start : start + _PIECE]
        plain = plain.replace(b"\\\\", b"").replace(b'\\"', b"")
        held = b"\\" if plain.endswith(b"\\") else b""  # it belongs to what follows
        strings = plain.split(b'"', _MOST_QUOTES)
        commas += b"".join(strings[inside::2]).count(b",")
        quotes += len(strings) - 1
        inside = quotes % 2 == 1
        if commas > MOST_VALUES or quotes >= _MOST_QUOTES:
            raise InvalidRequest(
                f"The body holds more than {MOST_VALUES} values.", code="too_many_values"
            )
        budget.spend(_PIECE)


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
