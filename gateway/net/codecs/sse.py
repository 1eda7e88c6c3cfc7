"""Server-sent events, read as they arrive.

https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import orjson

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

    Comments and other fields are skipped, but for `error: …`, which some servers send
    instead of `data: {"error": …}` and which is read as such. An event that the end of the
    input cuts off is skipped, too. Raises UpstreamInvalidResponse for an event over
    MAX_EVENT_BYTES.
    """
    whole = _Blocks().feed
    for chunk in chunks:
        found: list[bytes] = []
        for event in whole(chunk).split(b"\n\n"):
            if event.startswith(b"data: ") and b"\n" not in event:
                data = event[6:]
            else:
                name, data = _parse(event)
                if name == "error" and data:
                    data = _error_document(data)
            if data:
                found.append(data)
        if found:
            yield found


def event_batches(chunks: Iterable[bytes]) -> Iterator[list[tuple[str, bytes]]]:
    """Like `batches`, with the name of each event, "message" where it has none."""
    whole = _Blocks().feed
    for chunk in chunks:
        events = [_parse(event) for event in whole(chunk).split(b"\n\n")]
        found = [(name, data) for name, data in events if data]
        if found:
            yield found


class _Blocks:
    """Assembly of whole events. Not a generator: a chunk would pass through one more."""

    __slots__ = ("_after_cr", "_pending", "_pending_bytes", "_start")

    def __init__(self) -> None:
        self._pending: list[bytes] = []  # the event that is not complete yet
        self._pending_bytes = 0
        self._after_cr = False
        self._start: bytes | None = b""  # while it may be part of a byte order mark

    def feed(self, chunk: bytes) -> bytes:
        """The events that are complete now, without the empty line after the last."""
        if self._start is not None or self._after_cr or b"\r" in chunk:
            chunk = self._plain(chunk)
        pending = self._pending
        if not pending and chunk.endswith(b"\n\n"):  # nearly every chunk
            return chunk[:-2]
        # Of an empty line, the first LF may have come before: it waits at the end of `pending`.
        if pending and chunk and pending[-1] == b"\n":
            chunk = pending.pop() + chunk
        end = chunk.rfind(b"\n\n")
        block = b""
        if end >= 0:
            pending.append(chunk[:end])
            block = b"".join(pending) if len(pending) > 1 else pending[0]
            pending.clear()
            self._pending_bytes = 0
            chunk = chunk[end + 2 :]
        if chunk.endswith(b"\n"):
            pending += [chunk[:-1], b"\n"]
        elif chunk:
            pending.append(chunk)
        self._pending_bytes += len(chunk)
        if self._pending_bytes > MAX_EVENT_BYTES:
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
        elif field == b"error":
            data.append(_error_document(value))
    return name.decode("utf-8", "replace") or "message", b"\n".join(data)


def _error_document(value: bytes) -> bytes:
    """The value of an `error` field or event as the document that a `data` field would hold."""
    try:
        error = orjson.loads(value)
    except orjson.JSONDecodeError:
        error = value.decode("utf-8", "replace")
    if isinstance(error, dict) and "error" in error:
        return value
    return orjson.dumps({"error": error if isinstance(error, dict) else {"message": str(error)}})
