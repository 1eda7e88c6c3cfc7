"""Heroku's router, as far as it decides what becomes of slow requests.

Modelled from its documentation (https://devcenter.heroku.com/articles/http-routing): once
the whole request has reached the app the first byte of the answer must come within 30 s
(H12, 503); from then on each byte in either direction opens a window of 55 s (H15). It
keeps up to 1 MB of an answer for a slow client, and does not notice sooner that one has
left. Hop-by-hop headers are not passed on, and the client's address is appended to
X-Forwarded-For. Not modelled: several apps, connections that are used again, the queue.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from tests.support.faults import serving

FIRST_BYTE_S, IDLE_S = 30.0, 55.0
_BUFFER = 1024 * 1024
_HOP_BY_HOP = (b"connection", b"keep-alive", b"te", b"trailer", b"upgrade", b"proxy-")
_H12 = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/html\r\n"
    b"Content-Length: 17\r\nConnection: close\r\n\r\nApplication error"
)


@dataclass
class Request:
    """What the router's log says of a request: `code` when it had to step in."""

    path: str
    code: str | None = None
    first_byte_s: float | None = None
    longest_gap_s: float = 0.0
    bytes: int = 0


@dataclass
class Router:
    """`scale` makes both limits shorter, for tests whose heartbeats are scaled alike."""

    app: tuple[str, int]
    scale: float
    port: int
    requests: list[Request] = field(default_factory=list)

    @classmethod
    @contextmanager
    def started(cls, app_url: str, *, scale: float = 1.0) -> Iterator[Router]:
        host, _, port = app_url.removeprefix("http://").partition(":")
        found = cls((host, int(port)), scale, 0)
        with serving(found._serve) as (_, found.port):
            yield found

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def codes(self) -> list[str]:
        return [request.code for request in self.requests if request.code]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                head = await reader.readuntil(b"\r\n\r\n")
                await self._pass(head, reader, writer)
        finally:
            writer.close()

    async def _pass(
        self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        line, *fields = head[:-4].split(b"\r\n")
        request = Request(line.split()[1].decode())
        self.requests.append(request)
        client = writer.get_extra_info("peername")[0].encode()
        app_reader, app_writer = await asyncio.open_connection(*self.app, limit=_BUFFER)
        try:
            app_writer.write(_head(line, fields, client))
            left = _length(fields)
            while left > 0 and (data := await reader.read(min(left, 1024))):
                left -= len(data)
                app_writer.write(data)
                await app_writer.drain()
            await self._answer(request, app_reader, writer)
        finally:
            app_writer.close()

    async def _answer(
        self, request: Request, app: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        writer.transport.set_write_buffer_limits(high=_BUFFER)
        began = last = time.monotonic()
        while True:
            limit_s = (IDLE_S if request.bytes else FIRST_BYTE_S) * self.scale
            try:
                data = await asyncio.wait_for(app.read(65536), limit_s)
            except TimeoutError:
                request.code = "H15" if request.bytes else "H12"
                if not request.bytes:
                    writer.write(_H12)
                return
            if not data:
                request.code = None if request.bytes else "H13"
                return
            now = time.monotonic()
            if not request.bytes:
                request.first_byte_s = now - began
            else:
                request.longest_gap_s = max(request.longest_gap_s, now - last)
            last = now
            request.bytes += len(data)
            writer.write(data)
            await writer.drain()


def _head(line: bytes, fields: list[bytes], client: bytes) -> bytes:
    forwarded = [client]
    kept = []
    for each in fields:
        name, _, value = each.partition(b":")
        if name.lower() == b"x-forwarded-for":
            forwarded.insert(0, value.strip())
        elif not name.lower().startswith(_HOP_BY_HOP):
            kept.append(each)
    kept += [b"X-Forwarded-For: " + b", ".join(forwarded), b"X-Forwarded-Proto: https"]
    return b"\r\n".join([line, *kept, b"Connection: close", b"", b""])


def _length(fields: list[bytes]) -> int:
    for each in fields:
        name, _, value = each.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0
