"""A JSON array that arrives piece by piece, as Google's APIs stream without `alt=sse`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from gateway.domain.errors import UpstreamInvalidResponse
from gateway.net.codecs.json_limits import MOST_VALUES
from gateway.net.codecs.vendor_json import JsonReader, NotJson

MAX_ELEMENT_BYTES = 64 * 1024 * 1024  # a picture of 32 MiB in base64, and room to spare

_MOST_SIGNS = 3 * MOST_VALUES  # brackets of both kinds, and the quotes that open
_STRUCTURE = re.compile(rb'["{}\[\]]').search
# Up to the closing quote, or to a backslash whose other half has not arrived.
_STRING_STOP = re.compile(rb'(?:[^"\\]*+\\.)*+[^"\\]*+(["\\])', re.DOTALL).match
_NOT_BLANK = re.compile(rb"[^ \t\r\n]").search
_NOT_BLANK_OR_MARK = re.compile(rb"[^ \t\r\n\xef\xbb\xbf]").search

# Between elements: what may come, and what it leads to.
_GRAMMAR: dict[str, dict[bytes, str]] = {
    "start": {b"[": "opened", b"{": "alone"},
    "opened": {b"{": "element", b"]": "end"},
    "after": {b",": "comma", b"]": "end"},
    "comma": {b"{": "element"},
    "end": {},
}


def elements(chunks: Iterable[bytes]) -> Iterator[list[Any]]:
    """The objects of one streamed array, those that a chunk completes in one list.

    One object that stands alone counts as an array of one. Raises
    UpstreamInvalidResponse for anything else, and when the input ends early.
    """
    scanner, reader = _Scanner(), JsonReader()
    count = 0
    for chunk in chunks:
        found = [_read(reader, element) for element in scanner.feed(chunk)]
        count += len(found)
        if count > MOST_VALUES:
            raise _invalid("has too many elements")
        if found:
            yield found
    if scanner.state != "end":
        raise _invalid("ends too early")


class _Scanner:
    """Search for the beginning and end of elements; the parser decides what is JSON."""

    def __init__(self) -> None:
        self.state = "start"
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self._pending: list[bytes] = []  # the beginning of the current element
        self._pending_bytes = 0
        self._signs = 0  # of structure, in the current element

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The elements that `data` completes."""
        position = 0
        while position < len(data):
            if self._depth == 0:
                position = self._between(data, position)
                continue
            begin, position = position, self._inside(data, position)
            self._pending.append(data[begin:position])
            self._pending_bytes += position - begin
            if self._pending_bytes > MAX_ELEMENT_BYTES:
                raise _invalid("has an endless element")
            if self._depth == 0:
                self.state = "end" if self.state == "alone" else "after"
                yield b"".join(self._pending)
                self._pending.clear()
                self._pending_bytes = 0

    def _between(self, data: bytes, position: int) -> int:
        """Pass blanks and one sign; stops before the element it finds."""
        # A byte order mark may stand before the array, never in it.
        search = _NOT_BLANK_OR_MARK if self.state == "start" else _NOT_BLANK
        sign = search(data, position)
        if sign is None:
            return len(data)
        try:
            self.state = _GRAMMAR[self.state][sign[0]]
        except KeyError:
            raise _invalid("is no array of objects") from None
        if sign[0] != b"{":
            return sign.end()
        self._pending.append(b"{")
        self._depth, self._signs = 1, 0
        return sign.end()

    def _inside(self, data: bytes, position: int) -> int:
        """Go on to the end of the element, or of `data`."""
        while position < len(data):
            if self._in_string:
                position = self._string(data, position)
                continue
            sign = _STRUCTURE(data, position)
            if sign is None:
                return len(data)
            position = sign.end()
            self._signs += 1
            if self._signs > _MOST_SIGNS:
                raise _invalid("has an element of too many values")
            if sign[0] == b'"':
                self._in_string = True
            elif sign[0] in b"{[":
                self._depth += 1
            else:
                self._depth -= 1
                if self._depth == 0:
                    return position
        return position

    def _string(self, data: bytes, position: int) -> int:
        """Go on behind the closing quote, or to the end of `data`."""
        if self._escaped:
            self._escaped = False
            position += 1
        stop = _STRING_STOP(data, position)
        if stop is None:
            return len(data)
        if stop[1] == b'"':
            self._in_string = False
        else:
            self._escaped = True
        return stop.end()


def _read(reader: JsonReader, element: bytes) -> Any:
    try:
        return reader.read(element)
    except NotJson:
        # Without its cause, which quotes the vendor's text.
        raise _invalid("has a broken element") from None


def _invalid(problem: str) -> UpstreamInvalidResponse:
    return UpstreamInvalidResponse(f"The vendor's stream of JSON {problem}", sent=True)
