"""Takes large data URLs out of a JSON text before it is parsed.

A parser would hold a screenshot or a film three times: the text, its own copy, and the
string it makes. Here the base64 is decoded where it lies, to disk when it is large, and
only a short name for it is parsed.
"""

from __future__ import annotations

from gateway.domain.errors import InvalidBase64
from gateway.domain.media import EmbeddedUrl
from gateway.net.blobs import decode_base64

LIFT_BYTES = 1024 * 1024  # smaller texts and smaller data URLs are parsed as they are
_MARK = b";base64,"
_HEAD = b'"data:'
_LONGEST_HEAD = 256


def lift(text: bytes | bytearray) -> tuple[bytes, dict[str, EmbeddedUrl]]:
    """The text with short strings in place of large data URLs, and what those stand for.

    What does not look like a whole JSON string of good base64 stays as it is, for the
    parser and the decoder to complain about. Equal data URLs get equal short strings.
    """
    pieces: list[bytes] = []
    found: dict[str, EmbeddedUrl] = {}
    kept = searched = 0
    while (mark := text.find(_MARK, searched)) >= 0:
        searched = start = mark + len(_MARK)
        begin = text.rfind(_HEAD, max(kept, mark - _LONGEST_HEAD), mark)
        if begin < 0 or _inside_another(text, begin, mark):
            continue
        end = text.find(b'"', start)
        if end < 0:
            break
        searched = end  # or a string full of marks would be searched once for each
        if end - start < LIFT_BYTES:
            continue
        try:
            blob, digest = decode_base64(text, limit=len(text), start=start, end=end)
        except InvalidBase64:
            continue
        url = EmbeddedUrl.of(blob, digest)
        found[url] = url
        pieces += (bytes(text[kept : begin + 1]), url.encode())
        kept = end
    pieces.append(bytes(text[kept:]))
    return b"".join(pieces), found


def _inside_another(text: bytes | bytearray, begin: int, mark: int) -> bool:
    """Whether the quote at `begin` does not open the string that the mark is in."""
    return text[begin - 1 : begin] == b"\\" or text.find(b'"', begin + 1, mark) >= 0
