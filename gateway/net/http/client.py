"""Outbound HTTP to vendors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self, cast

import orjson
import requests

from gateway.domain.errors import InvalidRequest, UpstreamError, UpstreamInvalidResponse
from gateway.domain.timeouts import Timeouts
from gateway.net.http.connect import Tls
from gateway.net.http.exchange import Body, Exchange
from gateway.net.http.transport import Transport

__all__ = ["Answer", "Body", "Http"]

MIB = 1024 * 1024
_DEFAULT = Timeouts()


class Answer:
    """A vendor's answer. Its body can be read once, whole or as it arrives.

    The end of its block closes the exchange: the connection is kept when the answer was
    read to its end, else closed at once.
    """

    __slots__ = ("_chunks", "_host", "_response", "headers", "status")

    def __init__(self, response: requests.Response) -> None:
        exchange = cast(Exchange, response.raw)
        self.status: int = response.status_code
        self.headers: Mapping[str, str] = response.headers  # whatever the case of the name
        self._response = response
        self._host = exchange.host
        self._chunks = exchange.chunks()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        err: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._response.close()

    def chunks(self) -> Iterator[bytes]:
        """The body in pieces of what is there, without waiting for more.

        Raises UpstreamDisconnected when it ends before its framing says so, and
        UpstreamTimeout after `idle_s` of silence or `total_s` in all.
        """
        return self._chunks

    def read(self, limit: int = 32 * MIB) -> bytes:
        """The whole body; raises UpstreamInvalidResponse when it is longer than `limit` bytes."""
        pieces: list[bytes] = []
        size = 0
        for piece in self._chunks:
            size += len(piece)
            if size > limit:
                raise self._invalid(f"is longer than {limit} bytes")
            pieces.append(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def json(self, limit: int = 32 * MIB) -> Any:
        """The body as JSON; raises UpstreamInvalidResponse when it is none."""
        try:
            return orjson.loads(self.read(limit))
        except orjson.JSONDecodeError:
            # Without its cause, which quotes the body.
            raise self._invalid("is no JSON") from None

    def drain(self, within_s: float = 1.0) -> None:
        """Read what nobody needs any more, so that the connection can be kept.

        One that has not ended by then is closed with the block.
        """
        cast(Exchange, self._response.raw).set_deadline(within_s)
        with suppress(UpstreamError):
            for _ in self._chunks:
                pass

    def _invalid(self, problem: str) -> UpstreamInvalidResponse:
        return UpstreamInvalidResponse(f"The answer of {self._host} {problem}", sent=True)


class Http:
    """HTTP to hosts that the configuration names.

    No environment proxies, no netrc, no redirects, no cookies, no compressed answers.
    Connections are kept and shared by all threads and greenlets, up to `pool_size` idle
    ones per server. `ca_file` replaces the public certificate authorities.
    """

    def __init__(
        self, *, timeouts: Timeouts = _DEFAULT, pool_size: int = 1000, ca_file: str | None = None
    ) -> None:
        self.timeouts = timeouts
        self._session = requests.Session()
        self._session.trust_env = False
        transport = Transport(pool_size=pool_size, tls=Tls(ca_file))
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, transport)

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | Body | None = None,
        timeouts: Timeouts | None = None,
    ) -> Answer:
        """Send a request and return with the head of its answer: `with http.send(…) as answer`.

        A request goes out twice only when the server cannot have processed it, or when
        repeating it changes nothing.

        Raises UpstreamUnreachable (nothing was sent), UpstreamTimeout,
        UpstreamDisconnected and UpstreamInvalidResponse, whose `sent` says whether the
        vendor may have acted; InvalidRequest for a URL or header that HTTP cannot carry.
        """
        request = requests.PreparedRequest()
        request.method = method
        request.url = url
        request.headers = headers  # type: ignore[assignment]  # ours only reads them
        request.body = body  # type: ignore[assignment]  # ours streams
        try:
            # Not Session.send, whose redirects, cookies and hooks have no place here.
            adapter = self._session.get_adapter(url)
        except requests.RequestException:
            raise InvalidRequest("The URL is not one of http or https") from None
        return Answer(adapter.send(request, timeout=timeouts or self.timeouts))  # type: ignore[arg-type]

    def close(self) -> None:
        """Close the kept connections."""
        self._session.close()
