"""A guess at tokens, where no vendor has counted them."""

from __future__ import annotations

from math import ceil

_LATIN_PER_TOKEN = 4.0
_WIDE_PER_TOKEN = 1.5


class Estimate:
    """Adds up texts: about four Latin or one and a half Chinese characters are a token."""

    __slots__ = ("_bytes", "_characters")

    def __init__(self) -> None:
        self._characters = 0
        self._bytes = 0

    def add(self, text: str) -> None:
        size = len(text)
        self._characters += size
        self._bytes += size if text.isascii() else len(text.encode("utf-8", "replace"))

    @property
    def tokens(self) -> int:
        # In UTF-8 a Latin letter is one byte and a Chinese character three.
        wide = (self._bytes - self._characters) / 2
        latin = self._characters - wide
        return ceil(latin / _LATIN_PER_TOKEN + wide / _WIDE_PER_TOKEN)
