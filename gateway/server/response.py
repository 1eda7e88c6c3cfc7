"""The response to one request, as it is sent."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache
from types import TracebackType
from typing import Protocol

import gevent
from gunicorn.http.errors import InvalidResponseHeader, InvalidResponseHeaderName
from gunicorn.http.message import TOKEN_RE, Request
from gunicorn.http.wsgi import HEADER_VALUE_RE, STATUS_RE
from gunicorn.util import is_hoppish

from gateway.runtime.interruption import ClientGone

Headers = Sequence[tuple[str, str]]
ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None]

_JOIN_BYTES = 64 * 1024  # below, joining two buffers is cheaper than sending twice
_TURN_BYTES = 1024 * 1024  # a fast reader lets the others have a turn this often


class BrokenOff(Exception):
    """The response cannot be completed: the client must see that it has no end."""


class Transport(Protocol):
    """The part of a connection that a response needs."""

    def send(self, data: bytes) -> int:
        """Send what the socket takes at once; 0 when it takes nothing."""
        ...

    def send_all(self, data: bytes | memoryview) -> None:
        """Wait until all is sent; raises ClientGone when the reader stalls."""
        ...

    def must_close(self) -> bool:
        """True when this is the last response on the connection."""
        ...


class Response:
    """Framing of the app's writes; the head leaves together with the first write.

    Like gunicorn's own, it never sends more than the announced length, a body where
    none is allowed, or a header that breaks the head.
    """

    __slots__ = (
        "_bare",
        "_head",
        "_length",
        "_sent",
        "_transport",
        "_turn",
        "at_event_end",
        "chunked",
        "closes",
        "early_200",
        "head_sent",
        "old",
        "status",
        "without_body",
        "writing",
        "wrote_at",
    )

    def __init__(self, request: Request, transport: Transport) -> None:
        self._transport = transport
        self.old: bool = request.version < (1, 1)
        self._head = b""
        self._length: int | None = None
        self._sent = 0
        self._turn = 0
        self.status = 0  # 0: the app has not responded yet
        self.chunked = False
        self.closes = True  # the connection ends with this response
        self._bare: bool = request.method == "HEAD"
        self.without_body = self._bare
        self.head_sent = False
        self.early_200 = False  # the head went out before the app gave its own
        self.at_event_end = True  # the last write, if any, ended with an empty line
        self.writing = False  # stays True when a write is cut short: nothing can follow that
        self.wrote_at = 0.0

    @property
    def measured(self) -> bool:
        """True when nothing may be sent between the writes of the app."""
        return self._length is not None or self.without_body or self.status >= 300

    def start_response(
        self, status: str, headers: Headers, exc_info: ExcInfo | None = None
    ) -> Callable[[bytes], None]:
        if exc_info is not None:
            if self.head_sent:
                raise exc_info[1].with_traceback(exc_info[2])
        elif self.status:
            raise AssertionError("start_response was called twice")
        if not STATUS_RE.fullmatch(status):
            raise ValueError(f"invalid status {status!r}")
        self.status = int(status[:3])
        self.without_body = self._bare or self.status < 200 or self.status in (204, 304)
        fields = _fields(headers)
        self._length = fields.length
        if not self.early_200:
            self._head = self._render(status, fields)
        return self.write

    def send_heartbeat(self, filler: bytes, headers: Callable[[], Headers]) -> bool | None:
        """Send `filler` if that needs no waiting; None when it does.

        Before the app has responded, a head of 200 and `headers()` goes first. False when
        the client is gone or a part was sent.
        """
        head = self._head
        if not self.head_sent and not self.status:
            head = self._render("200 OK", _fields(headers()))
        data = head + self.frame(filler)
        try:
            sent = self._transport.send(data)
        except ClientGone:
            return False
        if not sent:
            return None
        self.early_200 = self.early_200 or not self.status
        self._head, self.head_sent = b"", True
        self.wrote_at = time.monotonic()
        return sent == len(data)

    def _render(self, status: str, fields: Fields) -> bytes:
        lines = fields.lines
        if fields.length is not None and self.status != 204:
            lines.append(f"Content-Length: {fields.length}\r\n")
        unmeasured = not self.without_body and self._length is None
        self.chunked = unmeasured and not self.old
        self.closes = fields.close or (unmeasured and self.old) or self._transport.must_close()
        if self.closes:
            lines.append("Connection: close\r\n")
        elif self.old:
            lines.append("Connection: keep-alive\r\n")
        if self.chunked:
            lines.append("Transfer-Encoding: chunked\r\n")
        date = _date(int(time.time()))
        return f"HTTP/1.1 {status}\r\nDate: {date}\r\n{''.join(lines)}\r\n".encode("latin-1")

    def write(self, data: bytes) -> None:
        """Send a piece of the body; raises ClientGone, BrokenOff."""
        if not isinstance(data, bytes):
            raise TypeError(f"{data!r} is not bytes")
        self._check()
        if self._length is not None and len(data) > self._length - self._sent:
            data = data[: self._length - self._sent]
        if self.without_body or not data:
            return  # the head waits for the first byte or the end, as PEP 3333 asks
        self._sent += len(data)
        self.at_event_end = data.endswith(b"\n\n")
        self._send(self.frame(data))
        self._turn += len(data)
        if self._turn >= _TURN_BYTES:
            self._turn = 0
            gevent.sleep(1e-9)

    def finish(self) -> None:
        """Complete the response; raises ClientGone, BrokenOff."""
        self._check()
        if self._length is not None and self._sent < self._length and not self.without_body:
            raise RuntimeError(f"the app announced {self._length} bytes and wrote {self._sent}")
        self._send(b"0\r\n\r\n" if self.chunked else b"")

    def _check(self) -> None:
        if not self.status:
            raise AssertionError("the app did not call start_response")
        if self.writing or (self.early_200 and self.status >= 300):
            raise BrokenOff

    def frame(self, data: bytes) -> bytes:
        return b"%X\r\n%b\r\n" % (len(data), data) if self.chunked else data

    def _send(self, data: bytes) -> None:
        self.writing = True
        if not self.head_sent:
            head, self._head, self.head_sent = self._head, b"", True
            if len(data) > _JOIN_BYTES:
                self._put(head)
            else:
                data = head + data
        if data:
            self._put(data)
        self.writing = False
        self.wrote_at = time.monotonic()

    def _put(self, data: bytes) -> None:
        sent = self._transport.send(data)
        if sent < len(data):
            self._transport.send_all(memoryview(data)[sent:])


@dataclass(slots=True)
class Fields:
    """An app's header fields, ready to be sent, but for those that are the server's business."""

    lines: list[str]
    length: int | None = None
    close: bool = False


def _fields(headers: Headers) -> Fields:
    """Raises InvalidResponseHeaderName or InvalidResponseHeader for what would break the head."""
    fields = Fields([])
    for name, value in headers:
        kind = _kind(name)
        if not (value.isascii() and value.isprintable()) and not HEADER_VALUE_RE.fullmatch(value):
            # Only the name: the value may be a secret.
            raise InvalidResponseHeader(repr(name))
        if kind == "plain":
            fields.lines.append(f"{name}: {value}\r\n")
        elif kind == "content-length":
            fields.length = int(value)
        elif kind == "connection":
            fields.close = value.strip().lower() == "close"
    return fields


@lru_cache(maxsize=256)
def _kind(name: str) -> str:
    """The lower-case name of what the server handles, else `plain`; InvalidResponseHeaderName."""
    if not TOKEN_RE.fullmatch(name):
        raise InvalidResponseHeaderName(repr(name))
    known = name.lower()
    return known if known == "content-length" or is_hoppish(known) else "plain"


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
