"""A proxy that does to TCP connections what networks do: resets, ends, silences, slowness.

It stands between the gateway and a vendor, or between a client and the gateway. What
happens to a connection is chosen when it is made; who closed what, and when, is kept.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Thread
from typing import Literal

_PIECE = 65536
_LINGER_ZERO = struct.pack("ii", 1, 0)


@dataclass(frozen=True)
class Fault:
    """What becomes of an answer once `after` bytes of it have passed.

    `then`: the client gets a reset, an end, or nothing any more. `rate` bounds the answer
    in bytes per second.
    """

    then: Literal["reset", "end", "silence"] | None = None
    after: int = 0
    rate: float | None = None


@dataclass
class Connection:
    """Times are of the monotonic clock. `tags` are the marks seen in what the client sent."""

    number: int
    fault: Fault
    opened_at: float
    up: int = 0  # bytes from the client
    down: int = 0  # bytes of answers
    tags: set[str] = field(default_factory=set)
    client_left_at: float | None = None


@dataclass
class FaultProxy:
    host: str
    port: int
    target: tuple[str, int]
    choose: Callable[[int], Fault]
    mark: re.Pattern[bytes] | None = None
    connections: list[Connection] = field(default_factory=list)

    @classmethod
    @contextmanager
    def started(
        cls,
        target: str,
        choose: Callable[[int], Fault] = lambda number: Fault(),
        *,
        mark: str | None = None,
    ) -> Iterator[FaultProxy]:
        """Proxy to `host:port`. `choose` gets the number of the connection, from 0."""
        host, _, port = target.removeprefix("http://").partition(":")
        pattern = re.compile(mark.encode()) if mark else None
        found = cls("", 0, (host, int(port)), choose, pattern)
        with serving(found._serve) as (found.host, found.port):
            yield found

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def open(self) -> int:
        return sum(c.client_left_at is None for c in self.connections)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(self.connections)
        connection = Connection(number, self.choose(number), time.monotonic())
        self.connections.append(connection)
        try:
            with suppress(OSError):
                up_reader, up_writer = await asyncio.open_connection(*self.target)
                try:
                    asking = asyncio.ensure_future(self._up(connection, reader, up_writer))
                    answering = asyncio.ensure_future(self._down(connection, up_reader, writer))
                    done, rest = await asyncio.wait(
                        {asking, answering}, return_when=asyncio.FIRST_COMPLETED
                    )
                    if connection.fault.then == "silence" and asking not in done:
                        await asyncio.wait({asking})  # only the client ends this
                    for task in rest:
                        task.cancel()
                    await asyncio.gather(asking, answering, return_exceptions=True)
                finally:
                    up_writer.close()
        finally:
            writer.close()
            if connection.client_left_at is None:
                connection.client_left_at = time.monotonic()

    async def _up(
        self, connection: Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(_PIECE):
                connection.up += len(data)
                if self.mark is not None:
                    connection.tags |= {tag.decode() for tag in self.mark.findall(data)}
                writer.write(data)
                await writer.drain()
        connection.client_left_at = time.monotonic()

    async def _down(
        self, connection: Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        fault = connection.fault
        with suppress(OSError):
            while data := await reader.read(_PIECE):
                if fault.then is not None and connection.down + len(data) >= fault.after:
                    data = data[: max(0, fault.after - connection.down)]
                    connection.down += len(data)
                    writer.write(data)
                    await writer.drain()
                    return _end(writer, fault)
                connection.down += len(data)
                writer.write(data)
                await writer.drain()
                if fault.rate is not None:
                    await asyncio.sleep(len(data) / fault.rate)


@contextmanager
def firehose() -> Iterator[tuple[str, list[int]]]:
    """An OpenAI-compatible vendor that streams as fast as it is read, without an end.

    Yields its address, and how many bytes each connection has taken.
    """
    chunk = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "test-model",
        "choices": [{"index": 0, "delta": {"content": "word "}, "finish_reason": None}],
    }
    frames = b"data: %b\n\n" % json.dumps(chunk).encode() * 400
    piece = b"%X\r\n%b\r\n" % (len(frames), frames)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
    head += b"Transfer-Encoding: chunked\r\n\r\n"
    taken: list[int] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(taken)
        taken.append(0)
        with suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(head)
            while True:
                writer.write(piece)
                await writer.drain()
                taken[number] += len(piece)
        writer.close()

    with serving(serve) as (host, port):
        yield f"http://{host}:{port}/v1", taken


@contextmanager
def serving(serve: Callable[..., Awaitable[None]]) -> Iterator[tuple[str, int]]:
    """An asyncio server in a thread of its own."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(asyncio.start_server(serve, sock=listener, limit=1 << 20))
    thread = Thread(target=loop.run_forever, daemon=True)
    address = listener.getsockname()
    thread.start()
    try:
        yield address
    finally:
        loop.call_soon_threadsafe(server.close)
        asyncio.run_coroutine_threadsafe(_cancel_all(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _end(writer: asyncio.StreamWriter, fault: Fault) -> None:
    if fault.then == "reset":
        writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO
        )
        writer.transport.abort()
    elif fault.then == "end":
        writer.close()


async def _cancel_all() -> None:
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
