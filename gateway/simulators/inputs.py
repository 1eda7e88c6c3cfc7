"""Media that a caller names by URL, read the way a vendor reads them."""

from __future__ import annotations

import base64
import binascii
import http.client
import ipaddress
import re
import socket
from dataclasses import dataclass
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

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
    """Read a data URL, or fetch an http(s) URL from this machine.

    A simulator reaches no other host: a URL that leads away from loopback is
    Unreadable, like one that does not answer in time.
    """
    if url.startswith("data:"):
        match = _DATA_URL.match(url)
        if match is None:
            raise Unreadable("the data URL is not data:<type>/<lower case subtype>;base64,<data>")
        data = decode_base64(url[match.end() :])
        if len(data) > limit:
            raise Unreadable(f"the data is larger than {limit} bytes")
        return Loaded(data, match[1])
    return _fetch(url, limit, timeout_s)


def decode_base64(text: str) -> bytes:
    """Decode standard base64 without any tolerance; raises Unreadable."""
    try:
        data = base64.b64decode(text.encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise Unreadable("the data is not valid base64") from error
    if not data:
        raise Unreadable("the data is empty")
    return data


class _StayHere(HTTPRedirectHandler):
    def redirect_request(self, *args: object) -> Request | None:
        request = super().redirect_request(*args)  # type: ignore[arg-type]
        if request is not None:
            _refuse_other_hosts(request.full_url)
        return request


_opener = build_opener(ProxyHandler({}), _StayHere)


def _fetch(url: str, limit: int, timeout_s: float) -> Loaded:
    _refuse_other_hosts(url)
    try:
        with _opener.open(url, timeout=timeout_s) as response:
            data: bytes = response.read(limit + 1)
            mime: str = response.headers.get_content_type()
    except (OSError, URLError, http.client.HTTPException, ValueError) as error:
        raise Unreadable(f"{url} could not be downloaded") from error
    if len(data) > limit:
        raise Unreadable(f"{url} is larger than {limit} bytes")
    return Loaded(data, mime)


def _refuse_other_hosts(url: str) -> None:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 80
    except ValueError as error:
        raise Unreadable("the URL is not valid") from error
    if parts.scheme not in ("http", "https") or not host:
        raise Unreadable("the URL is neither http(s) nor a data URL")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unreadable(f"{host} could not be resolved") from error
    if not all(ipaddress.ip_address(entry[4][0]).is_loopback for entry in found):
        raise Unreadable(f"{host} is out of a simulator's reach")
