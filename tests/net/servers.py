"""Servers that do exactly what a script says, byte by byte, also what no server should do."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

PATIENCE_S = 30.0
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


@dataclass
class Request:
    """One request as it came off the wire."""

    line: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return self.line.split(" ")[1]


class Peer:
    """The server's end of one connection."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.sock.settimeout(PATIENCE_S)
        self._buffer = b""

    def head(self) -> tuple[str, dict[str, str]]:
        """Read a request's head; EOFError when the client has left instead."""
        while b"\r\n\r\n" not in self._buffer:
            self._fill()
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        line, *fields = head.decode("latin-1").split("\r\n")
        return line, {name.lower(): value for name, _, value in (f.partition(": ") for f in fields)}

    def request(self) -> Request:
        line, headers = self.head()
        size = int(headers.get("content-length", 0))
        while len(self._buffer) < size:
            self._fill()
        body, self._buffer = self._buffer[:size], self._buffer[size:]
        return Request(line, headers, body)

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def answer(self, body: bytes = b"{}", *headers: str, status: str = "200 OK") -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
        self.send("\r\n".join(lines).encode() + body)

    def close(self) -> None:
        self.sock.close()

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def client_left(self, within_s: float = PATIENCE_S) -> bool:
        """Whether the client closes the connection in time."""
        self.sock.settimeout(within_s)
        try:
            while self.sock.recv(65536):
                pass
        except TimeoutError:
            return False
        except OSError:
            return True
        return True

    def _fill(self) -> None:
        data = self.sock.recv(65536)
        if not data:
            raise EOFError
        self._buffer += data


Script = Callable[[Peer], None]


@dataclass
class Server:
    """What a running server has seen. `connections` counts from the first byte of TCP."""

    host: str
    port: int
    connections: int = 0
    requests: list[Request] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def secure_url(self) -> str:
        return f"https://localhost:{self.port}"


@contextlib.contextmanager
def running(
    script: Script, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> Iterator[Server]:
    """Run `script` for each connection, in a thread of its own.

    A client that leaves early ends the script; any other failure of a script fails the test.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.bind((host, 0))
    listener.listen(128)
    server = Server(host, listener.getsockname()[1])
    peers: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def serve(sock: socket.socket) -> None:
        try:
            if tls is not None:
                sock.settimeout(PATIENCE_S)
                sock = tls.wrap_socket(sock, server_side=True)
                peers.append(sock)
            script(Peer(sock))
        except (OSError, EOFError):
            pass
        except BaseException as err:  # noqa: BLE001  # told to the test below
            server.failures.append(err)
        finally:
            sock.close()

    def accept() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            server.connections += 1
            peers.append(sock)
            thread = threading.Thread(target=serve, args=(sock,), daemon=True)
            threads.append(thread)
            thread.start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield server
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for sock in peers:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in [accepting, *threads]:
            thread.join(PATIENCE_S)
    for failure in server.failures:
        raise failure


def answering(body: bytes = b"{}", *headers: str, status: str = "200 OK") -> Script:
    """A server that answers every request in the same way and keeps its connections."""

    def script(peer: Peer) -> None:
        while True:
            peer.request()
            peer.answer(body, *headers, status=status)

    return script


def saying(data: bytes) -> Script:
    """A server that answers the first request with exactly these bytes, then closes."""

    def script(peer: Peer) -> None:
        peer.request()
        peer.send(data)

    return script
