"""Generated media on their way out of a vendor: inside its answer, or waiting at an address."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pybase64

from gateway.domain.errors import UpstreamInvalidResponse
from gateway.domain.media import MediaSource
from gateway.net.fetch.fetcher import Fetcher

LARGEST_RESULT_BYTES = 2 * 1024**3
_DOWNLOAD_S = 600.0
_BLANK = re.compile(r"\s").search
_STANDARD = str.maketrans("-_", "+/")
_PIECE = 1024 * 1024  # base64 characters; a multiple of four


class InlineSource:
    """Media that came as base64 text; decoded piece by piece when read."""

    __slots__ = ("_text", "mime_type", "url")

    def __init__(self, text: str, mime_type: str) -> None:
        self._text = text
        self.mime_type = mime_type
        self.url: str | None = None

    @contextmanager
    def open(self) -> Iterator[Iterator[bytes]]:
        yield self._pieces()

    def _pieces(self) -> Iterator[bytes]:
        text = self._text
        if text.startswith("data:"):
            text = text.partition(",")[2]
        if not text.isascii() or _BLANK(text):  # encoders that wrap lines
            text = "".join(text.split())
        if "-" in text or "_" in text:  # the URL-safe alphabet
            text = text.translate(_STANDARD)
        if lacking := -len(text) % 4:
            text += "=" * lacking
        try:
            for start in range(0, len(text), _PIECE):
                yield pybase64.b64decode(text[start : start + _PIECE], validate=True)
        except ValueError as exc:
            raise UpstreamInvalidResponse("The vendor sent damaged base64 data", sent=True) from exc


class UrlSource:
    """Media that wait at a vendor's address. `headers` go to that host only and never show."""

    __slots__ = ("_fetcher", "_headers", "mime_type", "url")

    def __init__(
        self,
        fetcher: Fetcher,
        url: str,
        mime_type: str,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self._fetcher = fetcher
        self._headers = headers
        self.mime_type = mime_type
        self.url: str | None = url

    @contextmanager
    def open(self) -> Iterator[Iterator[bytes]]:
        with self._fetcher.open(
            self.url or "",
            limit=LARGEST_RESULT_BYTES,
            headers=self._headers,
            vendor=True,
            total_s=_DOWNLOAD_S,
        ) as fetched:
            yield fetched.chunks()


def from_url(fetcher: Fetcher, url: str, mime_type: str) -> MediaSource:
    """The source behind a vendor's link, which may be a data URL of base64 text."""
    if not url.startswith("data:"):
        return UrlSource(fetcher, url, mime_type)
    head, comma, text = url[5:].partition(",")
    declared, *options = head.split(";")
    if not comma or "base64" not in options:
        raise UpstreamInvalidResponse("The vendor sent a data URL that is no base64", sent=True)
    return InlineSource(text, declared or mime_type)
