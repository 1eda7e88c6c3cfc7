"""The transport under requests: kept connections, and answers as they arrive.

requests' own adapter spends most of a small call on things nobody here asks for (proxy
and cookie look-ups, one write per header, an e-mail parser for the answer's head) and
reads streams in pieces of a fixed size. This adapter speaks HTTP/1.1 by itself.
"""

from __future__ import annotations

import re
import time
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, cast

from requests import PreparedRequest, Response
from requests.adapters import BaseAdapter

from gateway.domain.errors import InvalidRequest
from gateway.domain.timeouts import Timeouts
from gateway.net.http import connect as dial
from gateway.net.http import parser as wire
from gateway.net.http.connect import Stream
from gateway.net.http.exchange import ConnectionClosed, Exchange

Resolve = Callable[[str, int, float], list[dial.Address]]  # host, port, seconds

_IDLE_S = 45.0  # below the idle timeout of the usual front ends, 60 s and more

_URL = re.compile(
    r"(https?)://(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]{1,253}))(?::([0-9]{1,5}))?(?=[/?]|$)",
    re.IGNORECASE,
).match
_KEEP_ALIVE = re.compile(r"\btimeout=([0-9]{1,6})\b").search


class Origin:
    """A server, and the connections to it that wait for the next request."""

    def __init__(self, scheme: str, host: str, port: int, pool_size: int) -> None:
        self.host = host
        self.port = port
        self.secure = scheme == "https"
        name = f"[{host}]" if ":" in host else host
        self.authority = name if port == (443 if self.secure else 80) else f"{name}:{port}"
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
        told = _KEEP_ALIVE(hint) if hint else None
        # A second less than the server says: it should not close while a request travels.
        self._idle.append((now + min(_IDLE_S, int(told[1]) - 1 if told else _IDLE_S), stream))
        try:
            while len(self._idle) > self._pool_size or self._idle[0][0] < now:
                self._idle.popleft()[1].close()
        except IndexError:  # another thread took the last one
            return

    def close(self) -> None:
        while self._idle:
            self._idle.pop()[1].close()


class Transport(BaseAdapter):
    """A requests adapter whose responses have an `Exchange` as `raw` and raise GatewayErrors.

    `resolve` decides which addresses a host has, and may refuse it.
    """

    def __init__(
        self, *, pool_size: int, tls: dial.Tls | None = None, resolve: Resolve | None = None
    ) -> None:
        super().__init__()
        self._pool_size = pool_size
        self._tls = tls or dial.Tls()
        self._resolve = resolve or dial.Lookups().resolve
        self._origins: dict[str, Origin] = {}
        weakref.finalize(self, _close_all, self._origins)

    def close(self) -> None:
        """Close the kept connections."""
        _close_all(self._origins)

    def send(  # requests' own signature, of which only the timeout is free to choose
        self,
        request: PreparedRequest,
        stream: bool = True,
        timeout: Any = None,
        verify: bool | str = True,
        cert: Any = None,
        proxies: Mapping[str, str] | None = None,
    ) -> Response:
        """Send `request` and return when the head of its answer is there.

        `timeout` is a Timeouts. The body streams from `raw`; closing the response ends
        the exchange. Raises UpstreamError, InvalidRequest when no request can be made.
        """
        timeouts = timeout if isinstance(timeout, Timeouts) else Timeouts()
        method, url = cast(str, request.method), cast(str, request.url)
        origin, target = self._locate(url)
        body = cast(Any, request.body)
        size = None if body is None else len(body) if isinstance(body, bytes) else body.size
        head = wire.request_head(method, target, origin.authority, request.headers, size)
        deadline = time.monotonic() + timeouts.total_s
        kept = origin.take()
        while True:
            exchange = Exchange(
                origin.host,
                kept or self._dial(origin, min(timeouts.connect_s, timeouts.total_s)),
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
            except BaseException:
                exchange.close()
                raise
            else:
                return Reply(url, answer, exchange)

    def _dial(self, origin: Origin, connect_s: float) -> Stream:
        deadline = time.monotonic() + connect_s
        addresses = self._resolve(origin.host, origin.port, connect_s)
        tls = self._tls if origin.secure else None
        return dial.connect(origin.host, addresses, deadline=deadline, tls=tls)

    def _locate(self, url: str) -> tuple[Origin, str]:
        """The origin and the request target of `url`."""
        match = _URL(url)
        if match is None:
            raise InvalidRequest("The URL is not one of http or https with a plain host name")
        place = match[0]
        origin = self._origins.get(place)
        if origin is None:
            scheme, host = match[1].lower(), (match[2] or match[3]).lower()
            port = int(match[4] or (443 if scheme == "https" else 80))
            if not 0 < port < 65536:
                raise InvalidRequest("The port in the URL does not exist")
            origin = self._origins.setdefault(place, Origin(scheme, host, port, self._pool_size))
        target = url[match.end() :].partition("#")[0]
        return origin, target if target.startswith("/") else "/" + target


class Reply(Response):
    """A response of requests with what is asked of it here.

    Its own also makes a cookie jar, and keeps the request, whose body may be large.
    """

    def __init__(self, url: str, head: wire.Head, exchange: Exchange) -> None:
        self._content = False  # type: ignore[assignment]  # as requests has it
        self._content_consumed = False
        self.status_code = head.status
        self.headers = head.fields  # type: ignore[assignment]
        self.raw = exchange
        self.url = url


def _is_quiet(stream: Stream) -> bool:
    """Whether the server has neither closed the connection nor said anything unasked."""
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
