"""A transport adapter of requests: kept connections, deadlines, answers as they arrive.

requests' own adapter spends most of a small call on features that nothing here uses (cookies,
one write per header, an e-mail parser for the answer's head) and reads streams in pieces of a
fixed size. This one speaks HTTP/1.1 by itself.
"""

from __future__ import annotations

import re
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, cast

import requests
from requests.adapters import BaseAdapter
from requests.utils import get_environ_proxies, select_proxy

from gateway.domain.errors import (
    InvalidRequest,
    UpstreamDisconnected,
    UpstreamError,
    UpstreamUnreachable,
)
from gateway.domain.timeouts import Timeouts
from gateway.net.http import parser
from gateway.net.http.connect import Address, Lookups, Proxy, connect
from gateway.net.http.exchange import ConnectionClosed, Exchange
from gateway.net.http.tls import Stream, Tls

Resolve = Callable[[str, int, float], list[Address]]  # host, port, seconds

_DEFAULT = Timeouts()
_IDLE_S = 45.0  # below the idle timeout of the usual front ends, 60 s and more
_URL = re.compile(
    r"(https?)://(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]{1,253}))(?::([0-9]{1,5}))?(?=[/?]|$)",
    re.IGNORECASE,
).match
_KEEP_ALIVE = re.compile(r"\btimeout=([0-9]{1,6})\b").search


class Origin:
    """A server, and its idle connections."""

    def __init__(self, scheme: str, host: str, port: int, *, pool_size: int) -> None:
        self.host = host
        self.port = port
        self.secure = scheme == "https"
        name = f"[{host}]" if ":" in host else host
        self.authority = name if port == (443 if self.secure else 80) else f"{name}:{port}"
        self.proxy: Proxy | None = None
        self._pool_size = pool_size
        self._idle: deque[tuple[float, Stream]] = deque()  # good until, least recent first

    def take(self) -> Stream | None:
        """The most recently used connection that is still good."""
        now = time.monotonic()
        while True:
            try:
                until, stream = self._idle.pop()
            except IndexError:
                return None
            if until > now and _is_quiet(stream):
                return stream
            stream.close()

    def keep(self, stream: Stream, hint: str | None) -> None:
        """Keep a connection; `hint` is the server's Keep-Alive header."""
        now = time.monotonic()
        announced = _KEEP_ALIVE(hint) if hint else None
        # A second less than the server says: it should not close while a request travels.
        idle_s = min(_IDLE_S, int(announced[1]) - 1) if announced else _IDLE_S
        self._idle.append((now + idle_s, stream))
        try:
            while len(self._idle) > self._pool_size or self._idle[0][0] < now:
                self._idle.popleft()[1].close()
        except IndexError:  # another thread took the last one
            return

    def close(self) -> None:
        while self._idle:
            self._idle.pop()[1].close()


class HttpAdapter(BaseAdapter):
    """A requests adapter whose responses have an `Exchange` as `raw` and raise GatewayErrors.

    `resolve` decides which addresses a host has, and may refuse it. See Http for the rest.
    """

    def __init__(
        self,
        *,
        pool_size: int,
        tls: Tls | None = None,
        resolve: Resolve | None = None,
        name: str | None = None,
        proxy: str | None = "",
    ) -> None:
        super().__init__()
        self._pool_size = pool_size
        self._tls = tls or Tls()
        self._resolve = resolve or Lookups().resolve
        self._name = name
        self._proxy = proxy
        self._origins: dict[str, Origin] = {}
        weakref.finalize(self, _close_all, self._origins)

    def close(self) -> None:
        """Close the kept connections."""
        _close_all(self._origins)

    def send(  # requests' own signature, of which only the timeout is free to choose
        self,
        request: requests.PreparedRequest,
        stream: bool = True,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Send `request` and return when the head of its answer is there.

        `timeout` is a Timeouts. The body streams from `raw`; closing the response ends
        the exchange. Raises UpstreamError, InvalidRequest when no request can be made.
        """
        timeouts = timeout if isinstance(timeout, Timeouts) else _DEFAULT
        method, url = cast(str, request.method), cast(str, request.url)
        origin, target = self._locate(url)
        body = cast(Any, request.body)
        size = None if body is None else len(body) if isinstance(body, bytes) else body.size
        head = parser.request_head(method, target, origin.authority, request.headers, size)
        deadline = time.monotonic() + timeouts.total_s
        kept = origin.take()
        while True:
            exchange = Exchange(
                self._name or origin.host,
                kept or self._connect(origin, min(timeouts.connect_s, timeouts.total_s)),
                timeouts=timeouts,
                deadline=deadline,
                reused=kept is not None,
                keep=origin.keep,
            )
            try:
                answer = exchange.start(method, head, body)
            except ConnectionClosed:
                exchange.close()
                kept = None
            except BaseException as err:
                exchange.close()
                if kept is not None and isinstance(err, UpstreamDisconnected):
                    origin.close()  # the others may have ended alike: the next one is new
                raise
            else:
                response = requests.Response()
                response.status_code = answer.status
                response.headers = answer.fields  # type: ignore[assignment]
                response.raw = exchange
                response.url = url
                return response

    def _connect(self, origin: Origin, connect_s: float) -> Stream:
        deadline = time.monotonic() + connect_s
        first = origin.proxy or origin
        tls = self._tls if origin.secure else None
        try:
            addresses = self._resolve(first.host, first.port, connect_s)
            return connect(
                *(origin.host, origin.port, addresses),
                deadline=deadline,
                tls=tls,
                proxy=origin.proxy,
            )
        except UpstreamError as err:
            raise type(err)(f"{self._name or origin.host}: {err.message}") from err

    def _locate(self, url: str) -> tuple[Origin, str]:
        """The origin and the request target of `url`."""
        match = _URL(url)
        if match is None:
            raise InvalidRequest("The URL is not one of http or https with a plain host name")
        origin = self._origins.get(match[0])
        if origin is None:
            scheme, host = match[1].lower(), (match[2] or match[3]).lower()
            port = int(match[4] or (443 if scheme == "https" else 80))
            if not 0 < port < 65536:
                raise InvalidRequest("The port in the URL does not exist")
            origin = Origin(scheme, host, port, pool_size=self._pool_size)
            origin.proxy = self._proxy_of(scheme, match[0])
            origin = self._origins.setdefault(match[0], origin)
        target = url[match.end() :].partition("#")[0]
        return origin, target if target.startswith("/") else "/" + target

    def _proxy_of(self, scheme: str, origin_url: str) -> Proxy | None:
        """The proxy in front of an origin; the environment's is for https alone."""
        proxy = self._proxy
        if proxy is None:
            of_environment = get_environ_proxies(origin_url) if scheme == "https" else {}
            proxy = select_proxy(origin_url, of_environment)
        try:
            return Proxy.parse(proxy) if proxy else None
        except ValueError as err:
            raise UpstreamUnreachable(f"The proxy setting cannot be used: {err}") from err


def _is_quiet(stream: Stream) -> bool:
    """True while the server has neither closed the connection nor sent anything unasked."""
    stream.settimeout(0)
    try:
        stream.recv(1)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _close_all(origins: dict[str, Origin]) -> None:
    for origin in origins.values():
        origin.close()
