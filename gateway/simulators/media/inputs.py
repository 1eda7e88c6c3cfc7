"""Media that a caller names by URL, read the way a vendor reads them."""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass

from gateway.simulators.media.loopback import fetch

_DATA_URL = re.compile(r"data:([a-z]+/[a-z0-9.+-]+);base64,", re.ASCII)
_LIMIT_BYTES = 100 * 1024 * 1024


class Unreadable(ValueError):
    """The input is not there, too large or not what it says."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Bytes and the media type that their source gave them."""

    data: bytes
    declared_mime: str


def load(url: str, *, limit: int = _LIMIT_BYTES, timeout_s: float = 5) -> Loaded:
    """Decode a data URL, or fetch an http(s) URL of this machine; raises Unreadable."""
    if not url.startswith("data:"):
        try:
            return Loaded(*fetch(url, limit=limit, timeout_s=timeout_s))
        except ValueError as error:
            raise Unreadable(str(error)) from error
    match = _DATA_URL.match(url)
    if match is None:
        raise Unreadable("the data URL is not data:<type>/<lower case subtype>;base64,<data>")
    data = decode_base64(url[match.end() :])
    if len(data) > limit:
        raise Unreadable(f"the data is larger than {limit} bytes")
    return Loaded(data, match[1])


def decode_base64(text: str) -> bytes:
    """Decode standard base64 without any tolerance; raises Unreadable."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise Unreadable("the data is not valid base64") from error
    if not data:
        raise Unreadable("the data is empty")
    return data
