"""Connections: names resolved within a deadline, addresses tried in turn, certificates verified."""

from __future__ import annotations

import contextlib
import functools
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import certifi

from gateway.domain.errors import UpstreamTimeout, UpstreamUnreachable
from gateway.runtime import cooperative
from gateway.runtime.interruption import answering

Address = tuple[socket.AddressFamily, tuple[Any, ...]]
Resolver = Callable[..., Sequence[tuple[Any, ...]]]

_READ_BYTES = 65536


class Stream(Protocol):
    """The part of a connected socket that HTTP needs."""

    def settimeout(self, value: float | None, /) -> None: ...

    def recv(self, bufsize: int, /) -> bytes: ...

    def send(self, data: bytes | memoryview, /) -> int: ...

    def sendall(self, data: bytes | memoryview, /) -> None: ...

    def close(self) -> None: ...


class PlainStream:
    """A connected socket that is waited for before it is read.

    gevent's own read tries first, and waits with a timer of its own. Of a paced stream
    that is a fifth of the work: its data are hardly ever there yet.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._timeout_s: float | None = None
        self._dry = True  # the last read took all there was
        hub = cooperative.hub()
        self._readable = None if hub is None else hub.loop.io(sock.fileno(), 1)

    def settimeout(self, value: float | None, /) -> None:
        self._timeout_s = value

    def recv(self, bufsize: int, /) -> bytes:
        timeout_s, readable, request = self._timeout_s, self._readable, answering.get()
        if not (
            self._dry
            and timeout_s
            and readable is not None
            and request is not None
            and request.wait(readable, TimeoutError, timeout_s)
        ):
            self._sock.settimeout(timeout_s)
        data = self._sock.recv(bufsize)
        self._dry = len(data) < bufsize
        return data

    def send(self, data: bytes | memoryview, /) -> int:
        self._sock.settimeout(self._timeout_s)
        return self._sock.send(data)

    def sendall(self, data: bytes | memoryview, /) -> None:
        self._sock.settimeout(self._timeout_s)
        self._sock.sendall(data)

    def close(self) -> None:
        if self._readable is not None:
            self._readable.stop()
            self._readable.close()
            self._readable = None
        self._sock.close()


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
    """TLS as a filter in front of a plain socket.

    `ssl.SSLSocket` hands out one record at a time, and under gevent its timeout starts
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
                self._sock.settimeout(_left(deadline))
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
                self._sock.settimeout(_left(deadline))
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


def literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that `host` spells in the canonical way, None for names and all else."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


class Lookups:
    """Looks up names, `places` at a time; those count that nobody waits for any more.

    A resolver (`socket.getaddrinfo` unless given) cannot be interrupted: it works on a
    thread that is left behind when it takes too long. So whose names may be slow on
    purpose gets Lookups apart, and finds no place once all are stuck.
    """

    def __init__(self, resolver: Resolver | None = None, *, places: int = 32) -> None:
        self._resolver = resolver
        self._places = places
        self._free = threading.Semaphore(places)
        self._threads = cooperative.ThreadPool(places)
        self._stuck: set[threading.Event] = set()
        self._lock = threading.Lock()

    def resolve(self, host: str, port: int, seconds: float) -> list[Address]:
        """Addresses of `host` within `seconds`, in the resolver's order."""
        if address := literal(host):
            if address.version == 4:
                return [(socket.AF_INET, (host, port))]
            return [(socket.AF_INET6, (host, port, 0, 0))]
        deadline = time.monotonic() + seconds
        if len(self._stuck) >= self._places or not self._free.acquire(timeout=seconds):
            raise UpstreamTimeout(f"Other names than {host} are still being looked up")
        found: list[Address] = []
        done = threading.Event()
        looking = threading.Thread(
            target=self._look_up, args=(host, port, found, done), name="resolve", daemon=True
        )
        looking.start()
        try:
            if not done.wait(deadline - time.monotonic()):
                raise UpstreamTimeout(f"The name {host} was not resolved in {seconds:g} seconds")
        finally:
            with self._lock:
                if not done.is_set():
                    self._stuck.add(done)
        if not found:
            raise UpstreamUnreachable(f"The name {host} could not be resolved")
        return found

    def _look_up(self, host: str, port: int, found: list[Address], done: threading.Event) -> None:
        look_up = self._resolver or cooperative.unpatched("socket", "getaddrinfo")
        try:
            rows = self._threads.run(look_up, host, port, type=socket.SOCK_STREAM)
            found.extend((row[0], row[4]) for row in rows)
        except (OSError, UnicodeError):  # UnicodeError: a label that is empty or too long
            pass
        finally:
            with self._lock:
                done.set()
                self._stuck.discard(done)
            self._free.release()


def connect(host: str, addresses: Sequence[Address], *, deadline: float, tls: Tls | None) -> Stream:
    """Connect to the first of `addresses` that accepts; with `tls`, prove that it is `host`."""
    sock = _first(host, addresses, deadline)
    plain = PlainStream(sock)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is None:
            return plain
        stream = TlsStream(plain, tls.context, host.rstrip("."))
        stream.handshake(deadline)
    except TimeoutError as err:
        plain.close()
        raise UpstreamTimeout(f"{host} did not finish the TLS handshake in time") from err
    except (OSError, ValueError) as err:  # ValueError: no name a certificate can have
        plain.close()
        raise UpstreamUnreachable(f"No secure connection to {host}: {_reason(err)}") from err
    except BaseException:
        plain.close()
        raise
    return stream


def _first(host: str, addresses: Sequence[Address], deadline: float) -> socket.socket:
    failure: OSError | None = None
    for index, (family, address) in enumerate(addresses):
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
        except OSError as err:  # the system lacks the family, or the process descriptors
            failure = err
            continue
        try:
            # An address that swallows packets leaves time for those after it.
            sock.settimeout(_left(deadline) / (len(addresses) - index))
            sock.connect(address)
        except OSError as err:
            sock.close()
            failure = err
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    if isinstance(failure, TimeoutError):
        raise UpstreamTimeout(f"{host} did not accept the connection in time") from failure
    raise UpstreamUnreachable(f"No connection to {host}: {_reason(failure)}") from failure


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _reason(err: BaseException | None) -> str:
    if isinstance(err, ssl.SSLCertVerificationError):
        return f"its certificate was refused ({err.verify_message})"
    if isinstance(err, ssl.SSLError):
        return "the TLS handshake failed"
    return getattr(err, "strerror", None) or "it failed"
