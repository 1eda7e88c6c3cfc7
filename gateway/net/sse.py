"""Server-sent events, read as they arrive.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gateway.domain.errors import UpstreamInvalidResponse

DONE = b"data: [DONE]\n\n"
MAX_EVENT_BYTES = 64 * 1024 * 1024  # a picture of 32 MiB in base64, and room to spare
_BOM = b"\xef\xbb\xbf"


def batches(chunks: Iterable[bytes]) -> Iterator[list[bytes]]:
    """The data of the events that each chunk completes; a list is never empty.

    Comments and the fields other than `data` are skipped, events without data too, and
    an event that the end of the input cuts off. Raises UpstreamInvalidResponse for an
    event over MAX_EVENT_BYTES.
    """
    for block in _blocks(chunks):
        found: list[bytes] = []
        for event in block.split(b"\n\n"):
            if event.startswith(b"data: ") and b"\n" not in event:
                data = event[6:]
            else:
                data = _parse(event)[1]
            if data:
                found.append(data)
        if found:
            yield found


def event_batches(chunks: Iterable[bytes]) -> Iterator[list[tuple[str, bytes]]]:
    """As `batches`, with the name of each event, "message" where it has none."""
    for block in _blocks(chunks):
        events = [_parse(event) for event in block.split(b"\n\n")]
        found = [(name, data) for name, data in events if data]
        if found:
            yield found


def _blocks(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Whole events in one piece, lines ending in LF, without the empty line after the last."""
    held: list[bytes] = []  # the event that is not complete yet
    held_bytes = 0
    for chunk in _lines(chunks):
        # Of an empty line, the first LF may have come before: it waits at the end of `held`.
        if held and held[-1] == b"\n":
            chunk = held.pop() + chunk
        end = chunk.rfind(b"\n\n")
        if end >= 0:
            held.append(chunk[:end])
            yield b"".join(held) if len(held) > 1 else held[0]
            held.clear()
            held_bytes = 0
            chunk = chunk[end + 2 :]
        if chunk.endswith(b"\n"):
            held += [chunk[:-1], b"\n"]
        elif chunk:
            held.append(chunk)
        held_bytes += len(chunk)
        if held_bytes > MAX_EVENT_BYTES:
            raise UpstreamInvalidResponse("The vendor's stream has an endless event", sent=True)


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The chunks with every line end an LF, and without a byte order mark."""
    after_cr = False
    start: bytes | None = b""
    for chunk in chunks:
        if start is not None:
            chunk = start + chunk
            if _BOM.startswith(chunk):
                start = chunk
                if chunk != _BOM:
                    continue
            chunk = chunk.removeprefix(_BOM)
            start = None
        if after_cr and chunk:
            chunk = chunk.removeprefix(b"\n")
            after_cr = False
        if b"\r" in chunk:
            after_cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if chunk:
            yield chunk


def _parse(event: bytes) -> tuple[str, bytes]:
    """Name and data of one event."""
    name = b""
    data: list[bytes] = []
    for line in event.split(b"\n"):
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value
    return name.decode("utf-8", "replace") or "message", b"\n".join(data)
