"""HTTP/1.1 as bytes: request heads out, response heads and bodies in.

Strict where leniency would let an answer be read in two ways (RFC 9112): lines end in
CRLF, sizes are plain digits, and a body that its framing does not explain is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.domain.errors import InvalidRequest

MAX_HEAD_BYTES = 65536
MAX_FIELDS = 200
_MAX_CHUNK_LINE_BYTES = 4096
_MAX_TRAILER_BYTES = 16384

_NAME = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_FIELD_OUT = re.compile(rf"{_NAME}: [\t\x20-\x7e\x80-\xff]*").fullmatch
_REQUEST_LINE = re.compile(r"[A-Z]+ [!-~]+ HTTP/1\.1").fullmatch
_OURS = frozenset(
    {"host", "connection", "accept-encoding", "content-length", "transfer-encoding", "expect"}
)

_STATUS = re.compile(r"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [^\r\n]*)?\r\n")
_FIELD_IN = re.compile(rf"^({_NAME}):([^\r\n\0]*)\r\n", re.MULTILINE)
_CHUNK = re.compile(rb"([0-9a-fA-F]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")
_LENGTH = re.compile(r"[0-9]{1,18}").fullmatch


class Malformed(Exception):
    """The answer breaks HTTP; the text says how."""


def request_head(
    method: str, target: str, host: str, headers: Mapping[str, str], size: int | None
) -> bytes:
    """Serialise a request head, whose body of `size` bytes (None: no body) follows.

    Headers that belong to the connection are left out. Raises InvalidRequest for
    anything that could end a line early. The message names the
    field, never its value.
    """
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", "Accept-Encoding: identity"]
    if not _REQUEST_LINE(lines[0]):
        raise InvalidRequest("The method or the URL has characters that HTTP does not allow")
    for name, value in headers.items():
        line = f"{name}: {value}"
        if not _FIELD_OUT(line):
            raise InvalidRequest(f"The header {name!a} has characters that HTTP does not allow")
        if name.lower() not in _OURS:
            lines.append(line)
    if size is not None:
        lines.append(f"Content-Length: {size}")
    elif method in ("POST", "PUT", "PATCH"):
        lines.append("Content-Length: 0")
    lines.append("\r\n")
    return "\r\n".join(lines).encode("latin-1")


class Fields(dict[str, str]):
    """The fields of a head, kept by their names in lower case and found by any spelling."""

    def get(self, name: str, default: Any = None) -> Any:
        return super().get(name.lower(), default)

    def __getitem__(self, name: str) -> str:
        return super().__getitem__(name.lower())

    def __contains__(self, name: object) -> bool:
        return super().__contains__(str(name).lower())


@dataclass(slots=True)
class Head:
    """A response head. Repeated fields are joined by commas."""

    version: int  # of HTTP/1
    status: int
    fields: Fields

    @property
    def interim(self) -> bool:
        return self.status < 200

    @property
    def keeps_alive(self) -> bool:
        return self.version == 1 and "close" not in self.fields.get("connection", "").lower()


def may_be_head(data: bytes) -> bool:
    """Tell whether `data` can become a head when more arrives."""
    return len(data) <= MAX_HEAD_BYTES and data.startswith(b"HTTP/1."[: len(data)])


def parse_head(data: bytes) -> Head:
    """Parse a head, given with the empty line that ends it."""
    if len(data) > MAX_HEAD_BYTES:
        raise Malformed("its head is too long")
    text = data.decode("latin-1")
    start = _STATUS.match(text)
    if start is None:
        raise Malformed("its status line is no HTTP/1.1")
    if start[2] == "101":
        raise Malformed("it changes the protocol")
    pairs = _FIELD_IN.findall(text, start.end())
    # The status line and the empty line are no fields; every other line must be one.
    if len(pairs) != text.count("\n") - 2:
        raise Malformed("it has a broken header line")
    if len(pairs) > MAX_FIELDS:
        raise Malformed("it has too many headers")
    fields = Fields()
    for name, value in pairs:
        key = name.lower()
        value = value.strip(" \t")
        fields[key] = f"{fields[key]}, {value}" if key in fields else value
    return Head(int(start[1]), int(start[2]), fields)


class Framing(Protocol):
    """A reader that takes bytes off the connection and returns those of the body.

    `complete` is set with the last byte of the body; `excess` then tells whether bytes
    came that nobody asked for. `ends_with_connection`: the end of the connection is the end.
    """

    complete: bool
    excess: bool
    ends_with_connection: bool

    def feed(self, data: bytes) -> bytes: ...


def framing(head: Head, method: str) -> Framing:
    """Delimitation of the body of the answer to a `method` request."""
    if method == "HEAD" or head.status in (204, 304):
        return Sized(0)
    coding = head.fields.get("transfer-encoding")
    length = head.fields.get("content-length")
    if coding is not None:
        if coding.lower() != "chunked" or head.version == 0:
            raise Malformed("its transfer coding is unknown")
        if length is not None:
            raise Malformed("it has two lengths")
        return Chunked()
    if length is None:
        return UntilClose()
    lengths = {part.strip() for part in length.split(",")}
    if len(lengths) != 1 or not _LENGTH(only := lengths.pop()):
        raise Malformed("its length is no number")
    return Sized(int(only))


class Sized:
    """A body of announced length."""

    __slots__ = ("complete", "excess", "left")
    ends_with_connection = False

    def __init__(self, size: int) -> None:
        self.left = size
        self.complete = size == 0
        self.excess = False

    def feed(self, data: bytes) -> bytes:
        if len(data) > self.left:
            self.excess = True
            data = data[: self.left]
        self.left -= len(data)
        self.complete = self.left == 0
        return data


class UntilClose:
    """A body that lasts as long as the connection."""

    __slots__ = ("complete", "excess")
    ends_with_connection = True

    def __init__(self) -> None:
        self.complete = False
        self.excess = False

    def feed(self, data: bytes) -> bytes:
        return data


class Chunked:
    """A chunked body. Bytes are handed on as they arrive, also from the middle of a chunk."""

    __slots__ = ("_left", "_pending", "_trailer", "complete", "excess")
    ends_with_connection = False

    def __init__(self) -> None:
        self.complete = False
        self.excess = False
        self._left = 0  # of the chunk's data; with its CRLF while that is missing
        self._pending = b""  # the beginning of a line
        self._trailer = False

    def feed(self, data: bytes) -> bytes:
        if self._pending:
            data = self._pending + data
            self._pending = b""
        parts: list[bytes] = []
        position = 0
        if self._left:
            position = self._take(data, 0, parts)
        while not self._left and not self._trailer and position < len(data):
            line = _CHUNK.match(data, position)
            if line is None:
                self._keep(data[position:], _MAX_CHUNK_LINE_BYTES, "chunk size")
                break
            size = int(line[1], 16)
            position = line.end()
            if size == 0:
                self._trailer = True
                position -= 2  # the CRLF that an empty trailer begins with
                break
            if data[position + size : position + size + 2] == b"\r\n":
                parts.append(data[position : position + size])
                position += size + 2
            else:
                self._left = size + 2
                position = self._take(data, position, parts)
        if self._trailer:
            self._end(data[position:])
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _take(self, data: bytes, position: int, parts: list[bytes]) -> int:
        """Move the bytes of the current chunk to `parts`; returns the position after them."""
        end = min(position + self._left, len(data))
        body_end = min(position + self._left - 2, end)
        if body_end > position:
            parts.append(data[position:body_end])
        tail = data[max(body_end, position) : end]
        self._left -= end - position
        if tail and tail != b"\r\n"[2 - len(tail) - self._left : 2 - self._left]:
            raise Malformed("it has a chunk longer than its size")
        return end

    def _end(self, data: bytes) -> None:
        end = data.find(b"\r\n\r\n")
        if end < 0:
            return self._keep(data, _MAX_TRAILER_BYTES, "trailer")
        self.complete = True
        self.excess = len(data) > end + 4

    def _keep(self, data: bytes, limit: int, what: str) -> None:
        if len(data) > limit:
            raise Malformed(f"it has a {what} that is too long")
        if what == "chunk size" and (b"\n" in data or not _CHUNK_BEGUN(data)):
            raise Malformed("it has a broken chunk size")
        self._pending = data


_CHUNK_BEGUN = re.compile(rb"[0-9a-fA-F]{1,15}[ \t]*(?:;[^\r\n]*)?\r?").fullmatch
