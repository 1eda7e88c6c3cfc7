"""A guess at tokens, where no vendor has counted them."""

from __future__ import annotations

from math import ceil

from gateway.domain.requests import ChatRequest, Text

_LATIN_PER_TOKEN = 4.0
_WIDE_PER_TOKEN = 1.5
_PER_MESSAGE = 3  # for its role and its ends
_PER_ATTACHMENT = 1000


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


def request_tokens(request: ChatRequest) -> int:
    """A guess at the tokens of a whole request, its tools and attachments included."""
    said, more = Estimate(), 0
    for message in request.messages:
        more += _PER_MESSAGE
        for part in message.parts:
            if isinstance(part, Text):
                said.add(part.text)
            else:
                more += _PER_ATTACHMENT
        for call in message.tool_calls:
            said.add(f"{call.name}{call.arguments}")
        said.add(message.reasoning_text)
    for tool in request.params.get("tools", ()):
        said.add(str(tool))
    return said.tokens + more
