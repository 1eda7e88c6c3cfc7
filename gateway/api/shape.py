"""How much structure a JSON body may have.

Parsed, 100 MB of `[],[],…` are gigabytes, and nothing else happens for a minute. What is
nested deeper than a parser's own stack allows to write again breaks later, where it is
walked, sent on or compared.
"""

from __future__ import annotations

from typing import Any

import orjson

from gateway.domain.errors import InvalidJson, InvalidRequest

MOST_VALUES = 200_000
_WRITABLE = 254  # levels that orjson writes; it reads 1024
_ROOM = 32  # of these for what the gateway puts around


def check_values(text: bytes | bytearray) -> None:
    """Raises InvalidRequest when `text` has more values than a request can need.

    Costs next to nothing, unless the texts in it are full of commas.
    """
    if len(text) <= MOST_VALUES or text.count(b",") <= MOST_VALUES:
        return
    most_quotes = 4 * MOST_VALUES  # around each key and each value
    plain = text.replace(b"\\\\", b"").replace(b'\\"', b"")
    pieces = plain.split(b'"', most_quotes + 1)
    if len(pieces) > most_quotes or b"".join(pieces[::2]).count(b",") > MOST_VALUES:
        raise InvalidRequest(
            f"The body holds more than {MOST_VALUES} values.", code="too_many_values"
        )


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
