"""JSON of vendors, read leniently where no meaning is lost.

Vendors write NaN and Infinity (read as null), cut emoji into two escaped halves, one in each
chunk of a stream (joined), and leave halves alone (replaced by U+FFFD).
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

import orjson

from gateway.net.codecs.json_limits import MOST_VALUES, holds_too_many_values

_HALF = re.compile(r"[\ud800-\udfff]")
_FIRST_HALF_LAST = re.compile(r"[\ud800-\udbff]\Z").search
_BOM = b"\xef\xbb\xbf"

Path = tuple[str, ...]


class NotJson(ValueError):
    """The text is not JSON, or holds too many values."""


def read_json(text: bytes, most_values: int = MOST_VALUES) -> Any:
    """Parse one document. Raises NotJson."""
    return JsonReader(stream=False).read(text, most_values)


class JsonReader:
    """Parses the documents of one stream, or one that stands alone."""

    __slots__ = ("_halves", "_stream")

    def __init__(self, *, stream: bool = True) -> None:
        self._halves: dict[Path, str] = {}
        self._stream = stream

    def read(self, text: bytes, most_values: int = MOST_VALUES) -> Any:
        """Parse the next document. Raises NotJson, without quoting the text."""
        if holds_too_many_values(text, most_values):
            raise NotJson("holds too many values")
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            return self._read_leniently(text)

    def _read_leniently(self, text: bytes) -> Any:
        try:
            document = json.loads(
                text.removeprefix(_BOM).decode("utf-8", "replace"),
                parse_constant=lambda _: None,
                parse_float=_finite,
            )
            return self._repaired(document, ())
        except (ValueError, RecursionError):
            raise NotJson("is not JSON") from None

    def _repaired(self, value: Any, path: Path) -> Any:
        if isinstance(value, str):
            return self._text(value, path)
        if isinstance(value, dict):
            return {self._text(k, ()): self._repaired(v, (*path, k)) for k, v in value.items()}
        if isinstance(value, list):
            # Not by place: the other half may be in another part, or in the first of its chunk.
            return [self._repaired(item, path) for item in value]
        return value

    def _text(self, text: str, path: Path) -> str:
        """`text` after the half that the document before ended with; a last half is kept back."""
        text = self._halves.pop(path, "") + text
        if not _HALF.search(text):
            return text
        text = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
        if path and self._stream and _FIRST_HALF_LAST(text):
            self._halves[path] = text[-1]
            text = text[:-1]
        return _HALF.sub("\ufffd", text)


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None
