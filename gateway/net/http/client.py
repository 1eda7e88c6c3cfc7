"""Outbound HTTP to vendors."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from itertools import chain
from types import TracebackType
from typing import Any, Literal, Self, cast

import requests

from gateway.domain.errors import InvalidRequest, UpstreamError, UpstreamInvalidResponse
from gateway.domain.timeouts import Timeouts
from gateway.domain.version import VERSION
from gateway.net.codecs.json_limits import MOST_VALUES
from gateway.net.codecs.vendor_json import NotJson, read_json
from gateway.net.http.adapter import HttpAdapter
from gateway.net.http.exchange import Body, Exchange
from gateway.net.http.tls import Tls

__all__ = ["Answer", "Body", "Http"]

MIB = 1024 * 1024
USER_AGENT = f"Gateway/{VERSION}"

Content = Literal["json", "events", "markup", "other"]

_DEFAULT = Timeouts()
_IDENTITY = {"User-Agent": USER_AGENT, "Accept": "application/json, text/event-stream, */*;q=0.1"}
_EVENT_FIELD = re.compile(rb"(?:data|event|id|retry|error)?:").match

_MAX_BLANK_BYTES = 64 * 1024  # white space before the first byte that tells the kind of a body


class Answer:
    """A vendor's answer. Its body can be read once, whole or as it arrives.

    The end of its block closes the exchange: the connection is kept when the answer was
    read to its end, else closed at once.
    """

    __slots__ = ("_chunks", "_exchange", "headers", "status")

    def __init__(self, response: requests.Response) -> None:
        self.status: int = response.status_code
        self.headers: Mapping[str, str] = response.headers  # whatever the case of the name
        self._exchange = cast(Exchange, response.raw)
        self._chunks = self._exchange.chunks()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        err: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._exchange.close()

    def chunks(self) -> Iterator[bytes]:
        """The body in pieces as they arrive.

        Raises UpstreamDisconnected when it ends before its framing says so, and
        UpstreamTimeout after `idle_s` of silence or `total_s` in all.
        """
        return self._chunks

    def content(self) -> Content:
        """The kind of the body by its first bytes, which are waited for.

        Vendors mislabel streams as text, and answer JSON where a stream was asked for.
        """
        first: list[bytes] = []
        begun, size = b"", 0
        for piece in self._chunks:
            first.append(piece)
            size += len(piece)
            begun = (begun + piece[:64]).removeprefix(b"\xef\xbb\xbf").lstrip()
            if len(begun) >= 6 or size > _MAX_BLANK_BYTES:
                break
        self._chunks = chain(first, self._chunks)
        if begun[:1] in (b"{", b"["):
            return "json"
        if _EVENT_FIELD(begun):
            return "events"
        return "markup" if begun[:1] == b"<" else "other"

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

    def json(self, limit: int = 32 * MIB, most_values: int = MOST_VALUES) -> Any:
        """The body as JSON; raises UpstreamInvalidResponse for other content."""
        try:
            return read_json(self.read(limit), most_values)
        except NotJson as err:
            raise self._invalid(str(err)) from None

    def drain(self, within_s: float = 1.0) -> None:
        """Read the rest of the body, so that the connection can be kept.

        A body that has not ended by then is closed with the block.
        """
        self._exchange.set_deadline(within_s)
        with suppress(UpstreamError):
            for _ in self._chunks:
                pass

    def _invalid(self, problem: str) -> UpstreamInvalidResponse:
        return UpstreamInvalidResponse(f"The answer of {self._exchange.name} {problem}", sent=True)


class Http:
    """HTTP to hosts that the configuration names.

    No netrc, no redirects, no cookies. Requests name the gateway and its version.
    Connections are kept and shared by all threads and greenlets, up to `pool_size` idle ones
    per server. `name` stands for the server in messages; without it, its host does. `proxy`
    is a URL, or empty for none; None uses HTTPS_PROXY and NO_PROXY of the environment.
    `ca_file` replaces the public certificate authorities.
    """

    def __init__(
        self,
        *,
        timeouts: Timeouts = _DEFAULT,
        pool_size: int = 1000,
        ca_file: str | None = None,
        name: str | None = None,
        proxy: str | None = None,
    ) -> None:
        self.timeouts = timeouts
        self._session = requests.Session()
        adapter = HttpAdapter(pool_size=pool_size, tls=Tls(ca_file), name=name, proxy=proxy)
        for scheme in ("http://", "https://"):
            self._session.mount(scheme, adapter)

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
        request.headers = {**_IDENTITY, **headers}  # type: ignore[assignment]
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
