"""Real gunicorn with the project's configuration and the app of these tests, and raw clients."""

from __future__ import annotations

import json
import re
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Any, TypeVar

import psutil

from tests.support.process import BIN, ROOT, clean_env, running

PATIENCE_S = 20.0
Found = TypeVar("Found")


def until(probe: Callable[[], Found], *, within_s: float = PATIENCE_S) -> Found:
    """The first true value of `probe`."""
    deadline = time.monotonic() + within_s
    while not (value := probe()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)
    return value


def report(figure: str) -> None:
    """Shown by `make soak`."""
    sys.stdout.write(figure + "\n")


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Cut(Exception):
    """The connection ended before the answer did; holds what had come."""


class Client:
    """One connection, seen byte by byte."""

    def __init__(self, port: int, *, receive_buffer: int | None = None) -> None:
        self.sock = socket.socket()
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(PATIENCE_S)
        try:
            self.sock.connect(("127.0.0.1", port))
        except OSError:
            self.sock.close()
            raise
        self.received = bytearray()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> Client:
        self.sock.sendall(data)
        return self

    def get(self, target: str, *lines: str, method: str = "GET", version: str = "1.1") -> Client:
        head = [f"{method} {target} HTTP/{version}", "Host: test", *lines, "", ""]
        return self.send("\r\n".join(head).encode("latin-1"))

    def post(self, target: str, body: bytes, *lines: str) -> Client:
        self.get(target, f"Content-Length: {len(body)}", *lines, method="POST")
        return self.send(body)

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def receive(self) -> bytes:
        """What comes next; empty at the end, Cut on a reset."""
        try:
            return self.sock.recv(65536)
        except ConnectionResetError:
            raise Cut(bytes(self.received)) from None

    def read_until(self, mark: bytes) -> bytes:
        while mark not in self.received:
            data = self.receive()
            if not data:
                raise Cut(bytes(self.received))
            self.received += data
        return self._take(self.received.index(mark) + len(mark))

    def read_exactly(self, count: int) -> bytes:
        while len(self.received) < count:
            data = self.receive()
            if not data:
                raise Cut(bytes(self.received))
            self.received += data
        return self._take(count)

    def read_to_end(self) -> bytes:
        while data := self.receive():
            self.received += data
        return self._take(len(self.received))

    def _take(self, count: int) -> bytes:
        found = bytes(self.received[:count])
        del self.received[:count]
        return found

    def closed(self) -> bool:
        """Wait for the end; False when anything else comes."""
        try:
            return not self.received and self.receive() == b""
        except Cut:
            return True

    def head(self) -> tuple[int, dict[str, str]]:
        first, *lines = self.read_until(b"\r\n\r\n")[:-4].decode("latin-1").split("\r\n")
        return int(first.split()[1]), {
            name.lower(): value.strip()
            for name, _, value in (line.partition(":") for line in lines)
        }

    def chunk(self) -> bytes:
        size = int(self.read_until(b"\r\n"), 16)
        data = self.read_exactly(size)
        assert self.read_exactly(2) == b"\r\n"
        return data

    def answer(self, method: str = "GET") -> Answer:
        """One whole answer; Cut when it is not whole."""
        status, headers = self.head()
        if method == "HEAD" or status in (204, 304):
            return Answer(status, headers, b"")
        if headers.get("transfer-encoding") == "chunked":
            return Answer(status, headers, b"".join(iter(self.chunk, b"")))
        if "content-length" in headers:
            return Answer(status, headers, self.read_exactly(int(headers["content-length"])))
        return Answer(status, headers, self.read_to_end())


@dataclass
class Server:
    port: int
    process: Popen[bytes]
    log_path: Path
    notes_path: Path
    _noted: int = 0
    _logged: int = 0

    def client(self, **options: Any) -> Client:
        return Client(self.port, **options)

    def get(self, target: str, *lines: str, **options: Any) -> Answer:
        with self.client() as client:
            return client.get(target, *lines, **options).answer(options.get("method", "GET"))

    def workers(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def everyone(self) -> list[psutil.Process]:
        return [psutil.Process(self.process.pid), *self.workers()]

    def log(self) -> str:
        """What was logged since the last `forget`."""
        return self.log_path.read_text()[self._logged :]

    def notes(self) -> list[str]:
        """What the app noted since the last `forget`."""
        lines = self.notes_path.read_text().splitlines() if self.notes_path.exists() else []
        return lines[self._noted :]

    def forget(self) -> None:
        self._noted += len(self.notes())
        self._logged += len(self.log())

    def noted(self, line: str, *, times: int = 1, within_s: float = PATIENCE_S) -> float:
        """Wait until the app has noted `line`; the seconds that took."""
        began = time.monotonic()
        until(lambda: self.notes().count(line) >= times, within_s=within_s)
        return time.monotonic() - began


@contextmanager
def serving(directory: Path, *options: str, workers: int = 1, **env: str) -> Iterator[Server]:
    """Run gunicorn on a port of its own; `options` are its command line."""
    log, notes = directory / "log", directory / "notes"
    command = [
        *(str(BIN / "python"), "-m", "gunicorn", "-c", str(ROOT / "tests/server/conf.py")),
        *("--bind", "127.0.0.1:0", "--workers", str(workers), *options, "tests.server.app:app"),
    ]
    settings = clean_env({"TEST_NOTES": str(notes), **env})
    with running(command, env=settings, cwd=ROOT, log=log) as process:

        def port() -> int:
            assert process.poll() is None, log.read_text()
            found = re.search(r"Listening at: http://127\.0\.0\.1:(\d+)", log.read_text())
            booted = log.read_text().count("Booting worker") >= workers
            return int(found[1]) if found and booted else 0

        server = Server(until(port), process, log, notes)
        assert server.get("/plain").status == 200
        yield server
