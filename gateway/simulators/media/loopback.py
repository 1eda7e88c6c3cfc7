"""HTTP to this machine, and to no other: a simulator never reaches out."""

from __future__ import annotations

import http.client
import ipaddress
import socket
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener


class Unreachable(ValueError):
    """The URL leads elsewhere, or to nothing that answers properly and in time."""


class _StayHere(HTTPRedirectHandler):
    def redirect_request(self, *args: object) -> Request | None:
        request = super().redirect_request(*args)  # type: ignore[arg-type]
        if request is not None:
            check(request.full_url)
        return request


_opener = build_opener(ProxyHandler({}), _StayHere)


def fetch(url: str, *, limit: int, timeout_s: float) -> tuple[bytes, str]:
    """Return the body, of at most `limit` bytes, and its declared media type."""
    return _exchange(Request(url), limit, timeout_s)


def post(url: str, body: bytes, *, timeout_s: float) -> None:
    """Send JSON; anything but a 2xx answer raises Unreachable."""
    _exchange(Request(url, body, {"Content-Type": "application/json"}), 1024, timeout_s)


def check(url: str) -> None:
    """Raise Unreachable for a URL that is none, or that leads away from this machine."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 80
    except ValueError as error:
        raise Unreachable("the URL is not valid") from error
    if parts.scheme not in ("http", "https") or not host:
        raise Unreachable("the URL is neither http(s) nor a data URL")
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unreachable(f"{host} could not be resolved") from error
    if not all(ipaddress.ip_address(entry[4][0]).is_loopback for entry in found):
        raise Unreachable(f"{host} is out of a simulator's reach")


def _exchange(request: Request, limit: int, timeout_s: float) -> tuple[bytes, str]:
    url = request.full_url
    check(url)
    try:
        with _opener.open(request, timeout=timeout_s) as response:
            body: bytes = response.read(limit + 1)
            mime: str = response.headers.get_content_type()
    except (OSError, URLError, http.client.HTTPException, ValueError) as error:
        raise Unreachable(f"{url} could not be reached or did not answer in time") from error
    if len(body) > limit:
        raise Unreachable(f"{url} is larger than {limit} bytes")
    return body, mime
