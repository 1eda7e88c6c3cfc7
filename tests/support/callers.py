"""Many callers at once, who may leave whenever they like."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
from collections.abc import Awaitable, Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

_LINGER_ZERO = struct.pack("ii", 1, 0)


def request_bytes(
    path: str, body: Any, *, key: str | None = None, headers: Iterable[str] = ()
) -> bytes:
    data = json.dumps(body).encode()
    lines = [f"POST {path} HTTP/1.1", "Host: test", f"Content-Length: {len(data)}"]
    lines += ["Content-Type: application/json", *headers]
    if key is not None:
        lines.append(f"Authorization: Bearer {key}")
    return "\r\n".join([*lines, "", ""]).encode() + data


def ask(text: str, *, model: str, stream: bool) -> dict[str, Any]:
    return {"model": model, "stream": stream, "messages": [{"role": "user", "content": text}]}


async def cut_call(url: str, request: bytes, after_s: float, *, reset: bool) -> bool:
    """Send a request and leave after a while; True when the answer was not complete by then."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(request)
        try:
            data = await asyncio.wait_for(_whole(reader), after_s)
        except TimeoutError:
            cut = True
        else:
            cut = b"[DONE]" not in data
        if reset:
            writer.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO
            )
            writer.transport.abort()
        return cut
    finally:
        writer.close()


async def whole_call(url: str, request: bytes) -> bytes:
    """Everything that comes until the connection ends or the stream is complete."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(request)
        return await _whole(reader)
    finally:
        writer.close()


async def _whole(reader: asyncio.StreamReader) -> bytes:
    held = b""
    try:
        while data := await reader.read(65536):
            held += data
            if held.endswith(b"0\r\n\r\n"):
                break
    except ConnectionResetError:
        pass
    return held


def crowd(
    count: int, at_once: int, call: Callable[[int], Awaitable[Any]], *, seed: int = 1
) -> list[Any]:
    """The results of `call(number)` for every number, so many at the same time."""

    async def main() -> list[Any]:
        gate = asyncio.Semaphore(at_once)

        async def one(number: int) -> Any:
            async with gate:
                return await call(number)

        return await asyncio.gather(*map(one, range(count)))

    random.seed(seed)
    return asyncio.run(main())
