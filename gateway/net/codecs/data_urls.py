"""Takes large data URLs, and base64 under `"data"`, out of a JSON text before it is parsed.

A parser would hold a screenshot or a film three times: the text, its own copy, and the
string it makes. Here the base64 is decoded where it lies, to disk when it is large, and
only a short name for it is parsed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from gateway.domain.errors import InvalidBase64
from gateway.domain.media import EmbeddedUrl
from gateway.formats.blobs import decode_base64

LARGE_URL_BYTES = 64 * 1024  # smaller texts and smaller data URLs are parsed as they are
_MARK = b";base64,"
_HEAD = b'"data:'
_LONGEST_HEAD = 256
_DATA_KEY = re.compile(rb'[{,\s]"data"\s{0,4}:\s{0,4}$')
_LONGEST_KEY = 16


def extract_data_urls(text: bytes | bytearray) -> tuple[bytes, dict[str, EmbeddedUrl]]:
    """The text with short strings in place of large attachments, and what those stand for.

    What does not look like a whole JSON string of good base64 stays as it is, for the
    parser and the decoder to complain about. Equal data URLs get equal short strings.
    """
    pieces: list[bytes] = []
    found: dict[str, EmbeddedUrl] = {}
    kept = 0
    for begin, end in _large_strings(text):
        start = _base64_start(text, begin, end)
        if end - start < LARGE_URL_BYTES:
            continue
        try:
            blob, digest = decode_base64(text, limit=len(text), start=start, end=end)
        except InvalidBase64:
            continue
        url = EmbeddedUrl.of(blob, digest, text[begin + 1 : start].decode("utf-8", "replace"))
        found[url] = url
        pieces += (bytes(text[kept : begin + 1]), url.encode())
        kept = end
    pieces.append(bytes(text[kept:]))
    return b"".join(pieces), found


def _large_strings(text: bytes | bytearray) -> Iterator[tuple[int, int]]:
    """Start and end of each attachment of LARGE_URL_BYTES or more, with its quotes.

    Goes from quote to quote by the last one that is near enough, not by each, so that no text
    takes longer than a few searches through it.
    """
    quote = text.find(b'"')
    while 0 <= quote < len(text) - LARGE_URL_BYTES:
        first = quote + 1
        following = text.rfind(b'"', first, first + LARGE_URL_BYTES)
        if following < 0:
            following = text.find(b'"', first + LARGE_URL_BYTES)
            if following >= 0 and _opens(text, quote):
                yield quote, following
        quote = following


def _opens(text: bytes | bytearray, quote: int) -> bool:
    if text.startswith(_HEAD, quote):
        return text[quote - 1 : quote] != b"\\"
    return _DATA_KEY.search(text[max(0, quote - _LONGEST_KEY) : quote]) is not None


def _base64_start(text: bytes | bytearray, begin: int, end: int) -> int:
    """The place of the first character of base64 in the string; its end where there is none."""
    if not text.startswith(_HEAD, begin):
        return begin + 1
    mark = text.find(_MARK, begin, min(end, begin + _LONGEST_HEAD + len(_MARK)))
    return end if mark < 0 else mark + len(_MARK)
