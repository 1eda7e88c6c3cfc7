"""The request's body as the app reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol

from gunicorn.http import message
from gunicorn.http.body import Body
from gunicorn.http.errors import ParseException
from gunicorn.http.unreader import SocketUnreader

from gateway.domain.errors import InvalidRequest
from gateway.runtime.interruption import ClientGone, IncompleteBody
from gateway.runtime.memory import release_frames
from gateway.server.chunked import ChunkedReader

_SKIPPED_BYTES = 64 * 1024
# What else must be done before others have a turn, as so many bytes that only pass through.
_HEAD_COST = 32  # of a byte: all that came is searched again
_CHUNK_COST = 2048


class _Peer(Protocol):
    """The connection, as far as its body is concerned."""

    reading_body: bool

    def begin_body(self) -> None: ...

    def body_bytes(self, count: int) -> None: ...

    def spend(self, byte_count: int) -> None: ...

    def end_body(self, *, complete: bool) -> None: ...


class Unreader(SocketUnreader):  # type: ignore[misc]
    """gunicorn's source of bytes, which tells the connection what came in."""

    def __init__(self, sock: object, peer: _Peer) -> None:
        super().__init__(sock)
        self._peer = peer

    def buffered(self) -> int:
        """Number of bytes that are buffered already."""
        count: int = self.buf.getbuffer().nbytes
        return count

    def read(self, size: int | None = None, read_ahead: int | None = None) -> bytes:
        # What is read ahead would be copied again with every piece that is taken of it.
        data: bytes = super().read(size, read_ahead if size is None else None)
        return data

    def chunk(self, size_hint: int | None = None) -> bytes:
        data: bytes
        if not self._peer.reading_body:
            data = super().chunk(size_hint)
            self._peer.spend(len(data) * _HEAD_COST)
            return data
        try:
            data = super().chunk(size_hint)
        except OSError as error:
            raise ClientGone("reset while it sent its body") from error
        if not data:
            raise IncompleteBody("The request body ended before its announced end.")
        self._peer.body_bytes(len(data))
        return data

    def worked(self, chunks: int) -> None:
        """See `gateway.server.chunked.Source`."""
        self._peer.spend(chunks * _CHUNK_COST)


class Request(message.Request):  # type: ignore[misc]
    """gunicorn's, with our reader of chunks."""

    body: Body

    def set_body_reader(self) -> None:
        super().set_body_reader()
        if isinstance(self.body.reader, message.ChunkedReader):
            self.body = Body(ChunkedReader(self, self.unreader))


class Input:
    """`wsgi.input`: a body that must come in time, be whole, and be well framed.

    Reads raise BodyTimeout or IncompleteBody, and ClientGone once the connection is
    lost. `100 Continue` is sent by the first read: who refuses a request without
    reading it spares the client the upload.
    """

    def __init__(self, request: Request, peer: _Peer) -> None:
        self._body: Body = request.body
        self._peer = peer
        self.complete = self._at_end()
        self._failure: InvalidRequest | None = None

    def _at_end(self) -> bool:
        reader = self._body.reader
        if isinstance(reader, ChunkedReader):
            return reader.parser is None
        return bool(reader.length == 0)

    def skippable(self) -> bool:
        """Tell whether the unread rest of the body is short enough to skip for the next request."""
        if self.complete or self._failure:
            return self.complete
        reader = self._body.reader
        return not isinstance(reader, ChunkedReader) and reader.length <= _SKIPPED_BYTES

    def skip(self) -> None:
        """Drop what the app left unread."""
        reader = self._body.reader
        reader.read(reader.length)

    def release(self) -> None:
        """Let go of a failure, whose frames refer to what was read."""
        release_frames(self._failure)
        if self._failure is not None:
            self._failure = self._failure.with_traceback(None)

    def read(self, size: int | None = None) -> bytes:
        return self._read(self._body.read, size)

    def readline(self, size: int | None = None) -> bytes:
        return self._read(self._body.readline, size)

    def readlines(self, _hint: int | None = None) -> list[bytes]:
        return list(self)

    def __iter__(self) -> Iterator[bytes]:
        return iter(self.readline, b"")

    def _read(self, method: Callable[[int | None], bytes], size: int | None) -> bytes:
        if self.complete:
            return method(size)
        if self._failure:
            raise self._failure
        self._peer.begin_body()
        try:
            data = method(size)
            self.complete = self._at_end()
        except ParseException as error:
            self._failure = IncompleteBody("The request body's chunked framing is broken.")
            raise self._failure from error
        except InvalidRequest as error:
            self._failure = error
            raise
        finally:
            self._peer.end_body(complete=self.complete)
        return data
