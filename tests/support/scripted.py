"""A vendor that answers byte for byte what a test wrote down, chosen by the credential."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Literal

from tests.support.faults import serving

_KEY = re.compile(rb"(?:bearer |x-goog-api-key: *)\S+?[-.](\S+)", re.IGNORECASE)
_LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
_SESSION = b'{"name": "projects/1/locations/global/collections/c/engines/e/sessions/1"}'


@dataclass(frozen=True)
class Script:
    """What is sent, piece by piece, and what becomes of the connection then."""

    pieces: tuple[bytes, ...]
    then: Literal["end", "reset", "silence"] = "end"
    pause_s: float = 0.0  # after each piece


def answer(
    body: bytes | Iterable[bytes],
    *,
    kind: str = "application/json",
    length: int | None = None,
    chunked: bool = False,
    then: Literal["end", "reset", "silence"] = "end",
    pause_s: float = 0.0,
) -> Script:
    """A 200 with that body; `length` is what it announces, if not its true length."""
    pieces = (body,) if isinstance(body, bytes) else tuple(body)
    framing = f"Content-Length: {sum(map(len, pieces)) if length is None else length}"
    if chunked:
        framing = "Transfer-Encoding: chunked"
        pieces = tuple(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces if piece)
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\n{framing}\r\n\r\n".encode()
    return Script((head, *pieces), then, pause_s)


@contextmanager
def scripted(scripts: Mapping[str, Script]) -> Iterator[str]:
    """Serve `scripts` by the name that follows a credential's prefix: `sk-NAME`, `ya29.NAME`.

    Sessions can be created and deleted whatever the credential.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while await _answered(reader, writer, scripts):
                pass
        writer.close()

    with serving(serve) as (host, port):
        yield f"http://{host}:{port}"


async def _answered(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, scripts: Mapping[str, Script]
) -> bool:
    """Answer one request; whether the connection can carry another."""
    head = await reader.readuntil(b"\r\n\r\n")
    if length := _LENGTH.search(head):
        await reader.readexactly(int(length[1]))
    line = head.partition(b"\r\n")[0]
    if b"/sessions" in line:
        created = b"200 OK\r\nContent-Type: application/json\r\nContent-Length: %d" % len(_SESSION)
        writer.write(b"HTTP/1.1 " + created + b"\r\n\r\n" + _SESSION)
        return True
    key = _KEY.search(head)
    assert key, head
    script = scripts[key[1].decode()]
    for piece in script.pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(script.pause_s)
    if script.then == "silence":
        await reader.read()
    elif script.then == "reset":
        writer.get_extra_info("socket").setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
        )
        writer.transport.abort()
    return False
