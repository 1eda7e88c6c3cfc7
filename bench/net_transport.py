"""What gateway.net.http costs: CPU microseconds per request and per streamed chunk, under gevent.

    python -m bench.net_transport [--requests 5000] [--streams 100]

A server in another process answers; `requests.Session` does the same in the same run,
interleaved, and the least that each took counts: other work can only add to it. Prints JSON.
"""

from __future__ import annotations

import sys

if "--serve" not in sys.argv:
    from gevent import monkey

    monkey.patch_all()

import argparse
import asyncio
import functools
import json
import subprocess
import time
from collections.abc import Callable

import gevent
import requests

from gateway.net.codecs import sse
from gateway.net.http.client import Http

ROUNDS = 5
CHUNKS = 200
HEADERS = {
    "Authorization": "Bearer key",
    "Content-Type": "application/json",
    "Accept": "application/json",
    "User-Agent": "bench",
}
REQUEST = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hello"}]}).encode()
ANSWER = json.dumps({"choices": [{"message": {"content": "word " * 60}}]}).encode()
EVENT = b"data: " + json.dumps({"choices": [{"delta": {"content": "word"}}]}).encode() + b"\n\n"
HEAD = (
    b"HTTP/1.1 200 OK\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\nServer: bench\r\n"
    b"Content-Type: application/json\r\nX-Request-Id: 0123456789\r\nVary: Origin\r\n"
)


class Vendor(asyncio.Protocol):
    """Answers /json at once, /burst in one go and /paced with a chunk every 5 ms."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        if REQUEST not in self.received:
            return
        path = self.received.split(b" ", 2)[1]
        self.received = b""
        chunk = b"%x\r\n%s\r\n" % (len(EVENT), EVENT)
        if path == b"/json":
            self.transport.write(HEAD + b"Content-Length: %d\r\n\r\n%s" % (len(ANSWER), ANSWER))
        elif path == b"/burst":
            self.transport.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
            self.transport.write(chunk * CHUNKS + b"0\r\n\r\n")
        else:
            self.transport.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
            self.step(chunk, CHUNKS)

    def step(self, chunk: bytes, left: int) -> None:
        self.transport.write(chunk if left else b"0\r\n\r\n")
        if left:
            asyncio.get_running_loop().call_later(0.005, self.step, chunk, left - 1)


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(Vendor, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


class Ours:
    def __init__(self, base: str) -> None:
        self.base = base
        self.http = Http()

    def call(self) -> None:
        with self.http.send("POST", self.base + "/json", headers=HEADERS, body=REQUEST) as answer:
            answer.json()

    def stream(self, path: str) -> int:
        with self.http.send("POST", self.base + path, headers=HEADERS, body=REQUEST) as answer:
            return sum(map(len, sse.batches(answer.chunks())))


class Plain:
    def __init__(self, base: str) -> None:
        self.base = base
        self.session = requests.Session()
        adapter = requests.adapters.HTTPAdapter(pool_maxsize=1000)
        self.session.mount("http://", adapter)

    def call(self) -> None:
        self.session.post(self.base + "/json", headers=HEADERS, data=REQUEST, timeout=60).json()

    def stream(self, path: str) -> int:
        with self.session.post(
            self.base + path, headers=HEADERS, data=REQUEST, stream=True, timeout=60
        ) as answer:
            return sum(line.startswith(b"data:") for line in answer.iter_lines())


def cost(work: Callable[[], object], times: int, units: int = 1) -> float:
    """CPU microseconds of this process per unit of work."""
    before = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - before) / times / units * 1e6


def side_by_side(work: Callable[[], object], times: int, units: int) -> float:
    """As `cost`, for `times` greenlets at once."""
    before = time.process_time()
    gevent.joinall([gevent.spawn(work) for _ in range(times)], raise_error=True)
    return (time.process_time() - before) / times / units * 1e6


def measure(base: str, requests_each: int, streams_each: int) -> dict[str, float]:
    clients = {"http": Ours(base), "requests": Plain(base)}
    figures: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for name, client in clients.items():
            assert client.stream("/burst") == CHUNKS
            burst, paced = (functools.partial(client.stream, path) for path in ("/burst", "/paced"))
            for metric, value in (
                ("request", cost(client.call, requests_each)),
                ("chunk_burst", cost(burst, streams_each, CHUNKS)),
                ("chunk_paced", side_by_side(paced, streams_each, CHUNKS)),
            ):
                figures.setdefault(f"{name}_{metric}_us", []).append(value)
    return {name: round(min(values), 2) for name, values in figures.items()}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=5000)
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        return asyncio.run(serve())
    command = [sys.executable, "-m", "bench.net_transport", "--serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        try:
            base = f"http://127.0.0.1:{int(server.stdout.readline())}"
            figures = measure(base, options.requests // ROUNDS, options.streams // ROUNDS)
        finally:
            server.terminate()
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
