"""Verified TLS as a filter in front of a plain socket."""

from __future__ import annotations

import contextlib
import functools
import ssl
import time
from typing import Protocol

import certifi

_READ_BYTES = 65536


class Stream(Protocol):
    """The part of a connected socket that HTTP needs."""

    def settimeout(self, value: float | None, /) -> None: ...

    def recv(self, bufsize: int, /) -> bytes: ...

    def send(self, data: bytes | memoryview, /) -> int: ...

    def sendall(self, data: bytes | memoryview, /) -> None: ...

    def close(self) -> None: ...


class Tls:
    """Verified TLS towards servers whose certificate an authority in `ca_file` signed.

    Without `ca_file` the authorities are Mozilla's, as packaged by certifi.
    """

    def __init__(self, ca_file: str | None = None) -> None:
        self._ca_file = ca_file

    @functools.cached_property
    def context(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self._ca_file or certifi.where())
        context.set_alpn_protocols(["http/1.1"])
        return context


class TlsStream:
    """One TLS connection.

    `ssl.SSLSocket` returns one record at a time, and under gevent its timeout starts
    again with every packet. Here one read decrypts all that has arrived, and a record
    that trickles in does not outlive the timeout.
    """

    def __init__(self, sock: Stream, context: ssl.SSLContext, host: str) -> None:
        self._sock = sock
        self._timeout_s: float | None = None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._ended = False

    def handshake(self, deadline: float) -> None:
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush()
                self._sock.settimeout(left_s(deadline))
                self._receive()
            except ssl.SSLError:
                with contextlib.suppress(OSError):
                    self._flush()  # the alert that says why
                raise
            else:
                return self._flush()

    def settimeout(self, value: float | None, /) -> None:
        self._timeout_s = value
        self._sock.settimeout(value)

    def recv(self, bufsize: int, /) -> bytes:
        """All the plain text that has arrived, at least one byte; b"" at the end."""
        if self._incoming.pending and (data := self._decrypted()):
            return data
        deadline = None
        while not self._ended:
            self._receive(bufsize)
            if data := self._decrypted():
                return data
            if self._timeout_s:
                if deadline is None:
                    deadline = time.monotonic() + self._timeout_s
                self._sock.settimeout(left_s(deadline))
        return b""

    def send(self, data: bytes | memoryview, /) -> int:
        self.sendall(data)
        return len(data)

    def sendall(self, data: bytes | memoryview, /) -> None:
        self._tls.write(data)
        self._flush()

    def close(self) -> None:
        self._sock.close()

    def _receive(self, bufsize: int = _READ_BYTES) -> None:
        if data := self._sock.recv(bufsize):
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def _decrypted(self) -> bytes:
        parts: list[bytes] = []
        while not self._ended:
            try:
                part = self._tls.read(_READ_BYTES)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLEOFError:  # closed without saying so; HTTP's own framing decides
                part = b""
            if part:
                parts.append(part)
            else:
                self._ended = True
        if self._outgoing.pending:
            self._flush()
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _flush(self) -> None:
        if data := self._outgoing.read():
            self._sock.sendall(data)


def left_s(deadline: float) -> float:
    """Seconds until `deadline`; raises TimeoutError once it has passed."""
    seconds = deadline - time.monotonic()
    if seconds <= 0:
        raise TimeoutError
    return seconds
