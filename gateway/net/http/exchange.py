"""One request and its answer on one connection, with a deadline for every phase."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Protocol

from gateway.domain.errors import (
    GatewayError,
    UpstreamDisconnected,
    UpstreamInvalidResponse,
    UpstreamTimeout,
)
from gateway.domain.timeouts import Timeouts
from gateway.net.codecs.compressed import CODINGS, Decompressor
from gateway.net.http import parser
from gateway.net.http.tls import Stream
from gateway.runtime.cooperative import cooperative_yield

_READ_BYTES = 65536
# What is made of a piece of a stream is ten times its size, and a caller may never read it.
_STREAM_READ_BYTES = 16384
_WRITE_BYTES = 262144
_JOIN_BYTES = 65536  # a body up to this size leaves in one write with the head
_YIELD_BYTES = 524288  # after so much without waiting, other greenlets run
_CALL_BYTES = 16384  # cost of one read or write beside its bytes
_MAX_INTERIM = 10

# What may be repeated when a kept connection closes instead of answering (RFC 9110, 9.2.2).
_IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS"})


class Body(Protocol):
    """A streamed request body of known length, which can be sent again."""

    @property
    def size(self) -> int: ...

    def chunks(self) -> Iterator[bytes]: ...


class ConnectionClosed(Exception):
    """A kept connection was closed before it could carry the request; another may."""


class Exchange:
    """The `raw` of a `requests.Response`. Its messages name the server as `name`.

    `reused` says that the connection has served other requests. `keep` takes the
    connection back, with the server's Keep-Alive header, when it can serve more.
    """

    def __init__(
        self,
        name: str,
        stream: Stream,
        *,
        timeouts: Timeouts,
        deadline: float,
        reused: bool,
        keep: Callable[[Stream, str | None], None],
    ) -> None:
        self.name = name
        self._stream = stream
        self._timeouts = timeouts
        self._deadline = deadline
        self._reused = reused
        self._keep = keep
        self._keep_hint: str | None = None
        self._reusable = False
        self._closed = False
        self._framing: parser.Framing = parser.UntilClose()
        self._early = b""  # the part of the body that came with the head
        self._decompressor: Decompressor | None = None
        self._budget = _YIELD_BYTES

    def start(self, method: str, head: bytes, body: bytes | Body | None) -> parser.Head:
        """Send the request and read the head of the answer.

        Raises ConnectionClosed when the server cannot have processed the request.
        """
        sent = self._send(head, body)
        by = time.monotonic() + self._timeouts.first_byte_s
        try:
            # Also after a failed write: a server may refuse early, and say why.
            data = self._read(by)
        except UpstreamDisconnected:
            data = b""
        if not data:
            if self._reused and (method in _IDEMPOTENT or not sent):
                raise ConnectionClosed
            raise UpstreamDisconnected(
                f"{self.name} closed the connection without an answer", sent=sent
            )
        try:
            answer = self._read_head(data, by)
            self._framing = parser.framing(answer, method)
            coding = answer.fields.get("content-encoding", "identity").strip().lower()
            if coding in CODINGS:  # though identity was asked for
                self._decompressor = Decompressor()
            elif coding not in ("identity", ""):
                raise parser.Malformed("it has an unknown content encoding")
        except parser.Malformed as err:
            raise self._invalid(err) from err
        self._keep_hint = answer.fields.get("keep-alive")
        self._reusable = sent and answer.keeps_alive and not self._framing.ends_with_connection
        return answer

    def chunks(self) -> Iterator[bytes]:
        """The body's bytes as they arrive; a second call goes on where the first stopped."""
        if self._decompressor is None:
            return self._framed()
        return self._decompressed(self._decompressor)

    def stream(self, *_: object, **__: object) -> Iterator[bytes]:
        """`chunks` under the name that requests asks for; the end hands the connection back."""
        yield from self.chunks()
        self.close()

    def _decompressed(self, decompressor: Decompressor) -> Iterator[bytes]:
        some = False
        for data in self._framed():
            some = True
            try:
                yield from decompressor.feed(data)
            except ValueError as err:
                raise self._invalid(err) from err
        if some and not decompressor.complete:
            raise UpstreamInvalidResponse(f"The answer of {self.name} ends too early", sent=True)

    def _framed(self) -> Iterator[bytes]:
        framing = self._framing
        data, self._early = self._early, b""
        while True:
            if data:
                try:
                    piece = framing.feed(data)
                except parser.Malformed as err:
                    raise self._invalid(err) from err
                if piece:
                    yield piece
            if framing.complete:
                return
            self._yield_after(len(data))
            data = self._read()
            if not data:
                if isinstance(framing, parser.Sized):
                    raise UpstreamInvalidResponse(
                        f"The answer of {self.name} is shorter than it announced", sent=True
                    )
                if not framing.ends_with_connection:
                    raise UpstreamDisconnected(
                        f"{self.name} closed the connection amid its answer", sent=True
                    )
                framing.complete = True

    def set_deadline(self, within_s: float) -> None:
        """Let the rest of the exchange take no longer than so many seconds."""
        self._deadline = min(self._deadline, time.monotonic() + within_s)

    def close(self) -> None:
        """Hand the connection back if the answer is complete, else close it at once."""
        if self._closed:
            return
        self._closed = True
        framing = self._framing
        if self._early and not framing.complete:
            # An answer that nobody read, but that came whole.
            try:
                framing.feed(self._early)
            except parser.Malformed:
                self._reusable = False
            self._early = b""
        if self._reusable and framing.complete and not framing.excess and not self._early:
            self._keep(self._stream, self._keep_hint)
        else:
            self._stream.close()

    def release_conn(self) -> None:
        """`close` under the name that requests asks for."""
        self.close()

    def _send(self, head: bytes, body: bytes | Body | None) -> bool:
        """Write the request; False when the connection broke before all of it was taken."""
        if body is None:
            return self._write(head)
        if isinstance(body, bytes):
            if len(body) <= _JOIN_BYTES:
                return self._write(head + body)
            view = memoryview(body)
            return self._write(head) and all(
                self._write(view[at : at + _WRITE_BYTES])
                for at in range(0, len(body), _WRITE_BYTES)
            )
        left = body.size
        taken = self._write(head)
        for chunk in body.chunks() if taken else ():
            left -= len(chunk)
            if left < 0:
                break
            if not self._write(chunk):
                return False
        if taken and left:
            raise GatewayError(f"A request body has not the {body.size} bytes it announced")
        return taken

    def _write(self, data: bytes | memoryview) -> bool:
        self._yield_after(len(data))
        try:
            self._stream.settimeout(self._wait(self._timeouts.idle_s))
            # A small request is taken at once; gevent's sendall is ready for more, at a price.
            sent = self._stream.send(data)
            if sent < len(data):
                self._stream.sendall(memoryview(data)[sent:])
        except TimeoutError as err:
            raise UpstreamTimeout(f"{self.name} did not take the request in time") from err
        except OSError:
            return False
        return True

    def _read(self, by: float | None = None) -> bytes:
        """The next bytes, waited for until `by` or for `idle_s`; b"" at the end."""
        silence_s = self._timeouts.idle_s if by is None else by - time.monotonic()
        try:
            self._stream.settimeout(self._wait(silence_s))
            sized = isinstance(self._framing, parser.Sized)
            return self._stream.recv(_READ_BYTES if sized else _STREAM_READ_BYTES)
        except TimeoutError as err:
            what = "did not go on with its answer" if by is None else "did not answer"
            raise UpstreamTimeout(f"{self.name} {what} in time", sent=True) from err
        except OSError as err:
            raise UpstreamDisconnected(f"{self.name} broke the connection off", sent=True) from err

    def _wait(self, most_s: float) -> float:
        wait_s = min(most_s, self._deadline - time.monotonic())
        if wait_s <= 0:
            raise TimeoutError
        return wait_s

    def _read_head(self, data: bytes, by: float) -> parser.Head:
        for _ in range(_MAX_INTERIM):
            while (end := data.find(b"\r\n\r\n")) < 0:
                if not parser.may_be_head(data):
                    raise parser.Malformed("it is no HTTP/1.1, or its head is too long")
                more = self._read(by)
                if not more:
                    raise UpstreamDisconnected(
                        f"{self.name} closed the connection amid its answer", sent=True
                    )
                data += more
            head = parser.parse_head(data[: end + 4])
            data = data[end + 4 :]
            if not head.interim:
                self._early = data
                return head
        raise parser.Malformed("it never gets beyond 1xx")

    def _yield_after(self, size: int) -> None:
        """Let other greenlets run now and then: a socket that is always ready never waits."""
        self._budget -= size + _CALL_BYTES
        if self._budget < 0:
            self._budget = _YIELD_BYTES
            cooperative_yield()

    def _invalid(self, err: Exception) -> UpstreamInvalidResponse:
        return UpstreamInvalidResponse(f"The answer of {self.name} is invalid: {err}", sent=True)
