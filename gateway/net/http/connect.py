"""Connections: names resolved within a deadline, addresses tried in turn, proxies, TLS."""

from __future__ import annotations

import errno
import ipaddress
import socket
import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from gateway.domain.errors import GatewayOverloaded, UpstreamTimeout, UpstreamUnreachable
from gateway.net.http import parser
from gateway.net.http.tls import Stream, Tls, TlsStream, left_s
from gateway.runtime import cooperative
from gateway.runtime.interruption import answering

Address = tuple[socket.AddressFamily, tuple[Any, ...]]
Resolver = Callable[..., Sequence[tuple[Any, ...]]]


class PlainStream:
    """A connected socket that waits before it reads.

    gevent's own read tries first, and waits with a timer of its own. In a paced stream
    that is a fifth of the work: its data have hardly ever arrived yet.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._timeout_s: float | None = None
        self._drained = True  # the last read took all there was
        hub = cooperative.hub()
        self._readable = None if hub is None else hub.loop.io(sock.fileno(), 1)

    def settimeout(self, value: float | None, /) -> None:
        self._timeout_s = value

    def recv(self, bufsize: int, /) -> bytes:
        timeout_s, readable, request = self._timeout_s, self._readable, answering.get()
        if not (
            self._drained
            and timeout_s
            and readable is not None
            and request is not None
            and request.wait(readable, TimeoutError, timeout_s)
        ):
            self._sock.settimeout(timeout_s)
        data = self._sock.recv(bufsize)
        self._drained = len(data) < bufsize
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


def literal(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that `host` spells in the canonical way, None for names and all else."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


class Lookups:
    """Name resolution, `size` at a time, counting lookups that nobody waits for any more.

    A resolver (`socket.getaddrinfo` unless given) cannot be interrupted: it works on a
    thread that is left behind when it takes too long. Names that may be slow on purpose
    therefore get Lookups of their own, which are full once all are stuck.
    """

    def __init__(self, resolver: Resolver | None = None, *, size: int = 32) -> None:
        self._resolver = resolver
        self._size = size
        self._free = threading.Semaphore(size)
        self._threads = cooperative.ThreadPool(size)
        self._stuck: set[threading.Event] = set()
        self._lock = threading.Lock()

    def resolve(self, host: str, port: int, seconds: float) -> list[Address]:
        """Addresses of `host` within `seconds`, in the resolver's order."""
        if address := literal(host):
            if address.version == 4:
                return [(socket.AF_INET, (host, port))]
            return [(socket.AF_INET6, (host, port, 0, 0))]
        deadline = time.monotonic() + seconds
        if len(self._stuck) >= self._size or not self._free.acquire(timeout=seconds):
            raise UpstreamTimeout("Too many other names are still being resolved")
        found: list[Address] = []
        done = threading.Event()
        thread = threading.Thread(
            target=self._look_up, args=(host, port, found, done), name="resolve", daemon=True
        )
        thread.start()
        try:
            if not done.wait(deadline - time.monotonic()):
                raise UpstreamTimeout(f"The host name was not resolved in {seconds:g} seconds")
        finally:
            with self._lock:
                if not done.is_set():
                    self._stuck.add(done)
        if not found:
            raise UpstreamUnreachable("The host name could not be resolved")
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


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy that tunnels connections (CONNECT, RFC 9110, 9.3.6)."""

    host: str
    port: int
    authorization: str | None = None

    @classmethod
    def parse(cls, url: str) -> Proxy:
        """Read `http://[user:password@]host[:port]`; raises ValueError for anything else."""
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError("a proxy is given as http://host:port")
        credentials = None
        if parts.username is not None:
            user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            credentials = "Basic " + b64encode(user.encode()).decode()
        return cls(parts.hostname, parts.port or 80, credentials)

    def tunnel(self, stream: Stream, authority: str, deadline: float) -> None:
        """Have the connected proxy connect to `authority`, which is host:port."""
        headers = {} if self.authorization is None else {"Proxy-Authorization": self.authorization}
        stream.sendall(parser.request_head("CONNECT", authority, authority, headers, None))
        data = b""
        while b"\r\n\r\n" not in data:
            stream.settimeout(left_s(deadline))
            more = stream.recv(parser.MAX_HEAD_BYTES)
            data += more
            if not more or not parser.may_be_head(data):
                raise UpstreamUnreachable("The proxy broke the connection off")
        try:
            head = parser.parse_head(data)
        except parser.Malformed as err:
            raise UpstreamUnreachable(f"The answer of the proxy is invalid: {err}") from err
        if not 200 <= head.status < 300:
            raise UpstreamUnreachable(f"The proxy refuses the connection (HTTP {head.status})")


def connect(
    host: str,
    port: int,
    addresses: Sequence[Address],
    *,
    deadline: float,
    tls: Tls | None,
    proxy: Proxy | None = None,
) -> Stream:
    """Connect to the first of `addresses` that accepts; with `tls`, prove that it is `host`.

    With a `proxy` the addresses are the proxy's. Raises UpstreamTimeout, UpstreamUnreachable,
    and GatewayOverloaded when this process has no file descriptor left.
    """
    plain = PlainStream(_first_accepting(addresses, deadline))
    try:
        if proxy is not None:
            name = f"[{host}]" if ":" in host else host
            proxy.tunnel(plain, f"{name}:{port}", deadline)
        if tls is None:
            return plain
        stream = TlsStream(plain, tls.context, host.rstrip("."))
        stream.handshake(deadline)
    except TimeoutError as err:
        plain.close()
        raise UpstreamTimeout("The TLS handshake was not finished in time") from err
    except (OSError, ValueError) as err:  # ValueError: no name a certificate can have
        plain.close()
        raise UpstreamUnreachable(f"No secure connection: {_reason(err)}") from err
    except BaseException:
        plain.close()
        raise
    return stream


def _first_accepting(addresses: Sequence[Address], deadline: float) -> socket.socket:
    failure: OSError | None = None
    for index, (family, address) in enumerate(addresses):
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
        except OSError as err:
            if err.errno in (errno.EMFILE, errno.ENFILE):
                raise GatewayOverloaded("The gateway has no file descriptor left") from err
            failure = err  # the system lacks the family
            continue
        try:
            # An address that swallows packets leaves time for the addresses after it.
            sock.settimeout(left_s(deadline) / (len(addresses) - index))
            sock.connect(address)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as err:
            sock.close()
            failure = err
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    if isinstance(failure, TimeoutError):
        raise UpstreamTimeout("The connection was not accepted in time") from failure
    raise UpstreamUnreachable(f"No connection: {_reason(failure)}") from failure


def _reason(err: BaseException | None) -> str:
    if isinstance(err, ssl.SSLCertVerificationError):
        return f"the certificate was refused ({err.verify_message})"
    if isinstance(err, ssl.SSLError):
        return "the TLS handshake failed"
    return getattr(err, "strerror", None) or "it failed"
