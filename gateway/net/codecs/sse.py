"""Server-sent events, read as they arrive.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gateway.domain.errors import UpstreamInvalidResponse

DONE = b"data: [DONE]\n\n"
MAX_EVENT_BYTES = 64 * 1024 * 1024  # a picture of 32 MiB in base64, and room to spare
_BOM = b"\xef\xbb\xbf"
# NEL, LINE SEPARATOR and PARAGRAPH SEPARATOR: line ends for readers that split text, not bytes.
_SEPARATORS = tuple((sign.encode(), b"\\u%04x" % ord(sign)) for sign in "\x85\u2028\u2029")


def unbroken(events: bytes) -> bytes:
    """The same events of JSON without a character in which any reader may see a line end."""
    if not events.isascii():
        for sign, escaped in _SEPARATORS:
            if sign in events:
                events = events.replace(sign, escaped)
    return events


def batches(chunks: Iterable[bytes]) -> Iterator[list[bytes]]:
    """The data of the events that each chunk completes; a list is never empty.

    Comments and the fields other than `data` are skipped, events without data too, and
    an event that the end of the input cuts off. Raises UpstreamInvalidResponse for an
    event over MAX_EVENT_BYTES.
    """
    whole = _Blocks().feed
    for chunk in chunks:
        found: list[bytes] = []
        for event in whole(chunk).split(b"\n\n"):
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
    whole = _Blocks().feed
    for chunk in chunks:
        events = [_parse(event) for event in whole(chunk).split(b"\n\n")]
        found = [(name, data) for name, data in events if data]
        if found:
            yield found


class _Blocks:
    """Puts whole events together. Not a generator: each would be one more to pass for a chunk."""

    __slots__ = ("_after_cr", "_held", "_held_bytes", "_start")

    def __init__(self) -> None:
        self._held: list[bytes] = []  # the event that is not complete yet
        self._held_bytes = 0
        self._after_cr = False
        self._start: bytes | None = b""  # while it may be part of a byte order mark

    def feed(self, chunk: bytes) -> bytes:
        """The events that are complete now, without the empty line after the last."""
        if self._start is not None or self._after_cr or b"\r" in chunk:
            chunk = self._plain(chunk)
        held = self._held
        if not held and chunk.endswith(b"\n\n"):  # nearly every chunk
            return chunk[:-2]
        # Of an empty line, the first LF may have come before: it waits at the end of `held`.
        if held and chunk and held[-1] == b"\n":
            chunk = held.pop() + chunk
        end = chunk.rfind(b"\n\n")
        block = b""
        if end >= 0:
            held.append(chunk[:end])
            block = b"".join(held) if len(held) > 1 else held[0]
            held.clear()
            self._held_bytes = 0
            chunk = chunk[end + 2 :]
        if chunk.endswith(b"\n"):
            held += [chunk[:-1], b"\n"]
        elif chunk:
            held.append(chunk)
        self._held_bytes += len(chunk)
        if self._held_bytes > MAX_EVENT_BYTES:
            raise UpstreamInvalidResponse("The vendor's stream has an endless event", sent=True)
        return block

    def _plain(self, chunk: bytes) -> bytes:
        """The chunk with every line end an LF, and without a byte order mark."""
        if self._start is not None:
            chunk = self._start + chunk
            if _BOM.startswith(chunk):
                self._start = chunk
                if chunk != _BOM:
                    return b""
            chunk = chunk.removeprefix(_BOM)
            self._start = None
        if self._after_cr and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        if b"\r" in chunk:
            self._after_cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return chunk


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
