"""The guarded door for URLs named by callers or vendors."""

from __future__ import annotations

import functools
import time
from collections.abc import Container, Iterator, Mapping
from contextlib import closing, contextmanager
from typing import cast

from requests import PreparedRequest, Response
from requests.structures import CaseInsensitiveDict

from gateway.domain.errors import (
    GatewayError,
    InvalidImageUrl,
    RequestTooLarge,
    UpstreamError,
    UpstreamInvalidResponse,
    UpstreamUnreachable,
)
from gateway.domain.timeouts import Timeouts
from gateway.net.fetch.addresses import WEB_PORTS, Exceptions, Target, is_public, parse, redirected
from gateway.net.http.adapter import HttpAdapter
from gateway.net.http.client import USER_AGENT
from gateway.net.http.connect import Address, Lookups, Resolver
from gateway.net.http.exchange import Exchange
from gateway.net.http.tls import Tls

_MIB = 1024 * 1024
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_HEADERS = {"User-Agent": USER_AGENT, "Accept": "*/*"}
_JSON_HEADERS = {**_HEADERS, "Content-Type": "application/json"}


class Fetched:
    """A file on its way in. Its declared type and size are only what its server says."""

    def __init__(self, response: Response, *, limit: int, vendor: bool) -> None:
        declared = response.headers.get("content-type", "")
        self.mime_type = declared.partition(";")[0].strip().lower()
        length = response.headers.get("content-length")
        self.size = int(length) if length is not None and length.isdecimal() else None
        self._exchange = cast(Exchange, response.raw)
        self._limit = limit
        self._vendor = vendor

    def chunks(self) -> Iterator[bytes]:
        """The bytes as they arrive; raises as `Fetcher.open` does, also for too many of them."""
        size = 0
        with _reported(vendor=self._vendor):
            for piece in self._exchange.chunks():
                size += len(piece)
                if size > self._limit:
                    raise _too_large(self._limit, vendor=self._vendor)
                yield piece


class Fetcher:
    """Fetches what URLs from outside point to, from public addresses only.

    A host is resolved once per connection, every address it has is checked, and the
    connection goes to a checked one; so does that of each redirect. No proxies, no
    cookies, no Referer, no credentials but the headers that are given.

    `allow_private` is "off", "on", or a comma list of hosts and CIDRs that may be reached
    nevertheless, on any port. `trusted` are the origins ("host:port", in lower case and
    without brackets) that the owner configured, at any time; URLs that a vendor sent may
    lead there too.
    """

    def __init__(
        self,
        *,
        allow_private: str = "off",
        trusted: Container[str] = (),
        connect_s: float = 5,
        first_byte_s: float = 10,
        total_s: float = 30,
        resolver: Resolver | None = None,
        ca_file: str | None = None,
    ) -> None:
        self._exceptions = Exceptions(allow_private)
        self._trusted = trusted
        self._connect_s = connect_s
        self._first_byte_s = first_byte_s
        self._total_s = total_s
        self._callers = Lookups(resolver)
        self._vendors = Lookups(resolver)
        self._tls = Tls(ca_file)

    @contextmanager
    def open(
        self,
        url: str,
        *,
        limit: int,
        headers: Mapping[str, str] | None = None,
        vendor: bool = False,
        accept_redirects: int = 3,
        total_s: float | None = None,
    ) -> Iterator[Fetched]:
        """Get `url`, at most `limit` bytes of it. `headers` go to its own origin only.

        Raises InvalidImageUrl, with one message for whatever keeps the file from being
        reached, and RequestTooLarge. For a URL that a `vendor` sent, the same are
        UpstreamErrors, with `sent` set: the vendor has done the work by then.
        """
        with _reported(vendor=vendor):
            response = self._follow(
                parse(url),
                {**_HEADERS, **(headers or {})},
                vendor=vendor,
                redirects=accept_redirects,
                deadline=time.monotonic() + (self._total_s if total_s is None else total_s),
            )
        with closing(response):
            if response.status_code != 200:
                raise _refused(
                    f"The server of the URL answered {response.status_code}", vendor=vendor
                )
            fetched = Fetched(response, limit=limit, vendor=vendor)
            if fetched.size is not None and fetched.size > limit:
                raise _too_large(limit, vendor=vendor)
            yield fetched

    def post(self, url: str, body: bytes) -> int:
        """Send JSON to `url`, and return the status of the answer; redirects are not followed.

        Raises InvalidImageUrl for whatever keeps it from being reached.
        """
        deadline = time.monotonic() + self._total_s
        with _reported(vendor=False):
            request = PreparedRequest()
            request.method, request.url, request.body = "POST", parse(url).url, body
            request.headers = CaseInsensitiveDict(_JSON_HEADERS)
            with closing(
                self._transport(vendor=False).send(request, timeout=self._timeouts(deadline))
            ) as response:
                return response.status_code

    def _transport(self, *, vendor: bool) -> HttpAdapter:
        resolve = functools.partial(self._checked_addresses, vendor=vendor)
        return HttpAdapter(pool_size=0, tls=self._tls, resolve=resolve)

    def _follow(
        self,
        target: Target,
        headers: Mapping[str, str],
        *,
        vendor: bool,
        redirects: int,
        deadline: float,
    ) -> Response:
        """The first answer that is no redirect."""
        transport = self._transport(vendor=vendor)
        for _ in range(redirects + 1):
            request = PreparedRequest()
            request.method, request.url = "GET", target.url
            request.headers = CaseInsensitiveDict(headers)
            response = transport.send(request, timeout=self._timeouts(deadline))
            location = response.headers.get("location")
            if response.status_code not in _REDIRECTS or location is None:
                return response
            response.close()
            following = redirected(target, location)
            if following.origin != target.origin:
                headers = _HEADERS
            target = following
        raise UpstreamInvalidResponse("The URL redirects too often")

    def _timeouts(self, deadline: float) -> Timeouts:
        return Timeouts(
            connect_s=self._connect_s,
            first_byte_s=self._first_byte_s,
            idle_s=self._first_byte_s,
            total_s=deadline - time.monotonic(),
        )

    def _checked_addresses(
        self, host: str, port: int, seconds: float, *, vendor: bool
    ) -> list[Address]:
        """The addresses of `host`, if none of them is out of bounds."""
        lookups = self._vendors if vendor else self._callers
        addresses = lookups.resolve(host, port, seconds)
        if self._exceptions.cover_host(host) or (vendor and f"{host}:{port}" in self._trusted):
            return addresses
        for _, (address, *_) in addresses:
            web = port in WEB_PORTS and is_public(address)
            if not web and not self._exceptions.cover_address(address):
                raise UpstreamUnreachable("The host is not a public web server")
        return addresses


@contextmanager
def _reported(*, vendor: bool) -> Iterator[None]:
    try:
        yield
    except UpstreamError as err:
        if vendor:
            err.sent = True
            raise
        raise _refused(
            "The URL cannot be fetched. It must be http or https, at a public address on port 80"
            " or 443, and answer in time",
            vendor=False,
        ) from err


def _refused(message: str, *, vendor: bool) -> GatewayError:
    return UpstreamError(message, sent=True) if vendor else InvalidImageUrl(message)


def _too_large(limit: int, *, vendor: bool) -> GatewayError:
    message = f"The file at the URL is larger than {limit / _MIB:g} MiB"
    return UpstreamInvalidResponse(message, sent=True) if vendor else RequestTooLarge(message)
