"""Chunked request bodies, at a cost that grows with what arrives, however it is cut up."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Protocol

from gunicorn.http import body as gunicorn
from gunicorn.http.errors import (
    ChunkMissingTerminator,
    InvalidChunkExtension,
    InvalidChunkSize,
    NoMoreData,
)

_SIZE_LINE = re.compile(rb"([0-9A-Fa-f]+)(?:[ \t]*(;[^\r\n]*))?\r\n")
_MAX_TRAILER_BYTES = 16384
# Go's rule: extensions may be long, or chunks short, but what is no body stays in proportion.
_FREE_BYTES = 16  # of a chunk's line, and as many again as twice its data
_MAX_EXCESS_BYTES = 16384


class Source(Protocol):
    """gunicorn's unreader, which is also told what its bytes have cost."""

    def read(self, size: int | None = None, read_ahead: int | None = None) -> bytes: ...

    def worked(self, chunks: int) -> None:
        """Called once what was read has been taken apart."""
        ...


class ChunkedReader(gunicorn.ChunkedReader):  # type: ignore[misc]
    """gunicorn's, which copies all that waits for every chunk that it takes of it.

    As strict: raises its ParseExceptions for bad sizes, extensions, ends and trailers.
    """

    def __init__(self, request: Any, source: Source) -> None:
        super().__init__(request, source)
        self.limit_trailer_section = _MAX_TRAILER_BYTES

    def parse_chunked(self, source: Source) -> Iterator[bytes]:
        data, at = b"", 0
        chunks = excess = 0
        while True:
            while not (line := _SIZE_LINE.match(data, at)):
                self._check_begun(data, at)
                source.worked(chunks)
                data, at, chunks = data[at:] + _more(source), 0, 0
            start, at = line.span()
            size = int(line[1], 16)
            if line.lastindex == 2 and not gunicorn.CHUNK_EXT_RE.fullmatch(line[2]):
                raise InvalidChunkExtension("invalid chunk extension")
            excess += at - start - _FREE_BYTES - 2 * size
            if excess < 0:
                excess = 0
            elif excess > _MAX_EXCESS_BYTES:
                raise InvalidChunkExtension("more of it than of the body")
            if size == 0:
                self.parse_trailers(source, data[at:])
                return
            while size > len(data) - at:
                size -= len(data) - at
                yield data[at:]
                data, at = _more(source, size), 0
            yield data[at : at + size]
            at += size
            while len(data) < at + 2:
                data, at = data[at:] + _more(source), 0
            if data[at : at + 2] != b"\r\n":
                raise ChunkMissingTerminator(data[at : at + 2])
            at += 2
            chunks += 1

    def _check_begun(self, data: bytes, at: int) -> None:
        """Check that the bytes received so far may still become a size line."""
        if data.find(b"\r\n", at) >= 0:
            raise InvalidChunkSize(data[at : at + 64])
        if len(data) - at > self.limit_chunk_size_line:
            raise InvalidChunkSize(b"a line without an end")


def _more(source: Source, size: int | None = None) -> bytes:
    data = source.read(None, size)
    if not data:
        raise NoMoreData
    return data
