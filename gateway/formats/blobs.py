"""Bytes in memory, on disk, or still in base64: implementations of domain.media.Blob."""

from __future__ import annotations

import binascii
import contextlib
import hashlib
import os
import tempfile
import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator

import pybase64

from gateway.domain.errors import InvalidBase64, RequestTooLarge, StorageUnavailable
from gateway.domain.media import Blob
from gateway.runtime.cooperative import cooperative_yield

KIB = 1024
MIB = 1024 * KIB
_PIECE_BYTES = 192 * KIB  # a multiple of 3, so that pieces of base64 need no padding
_TEXT_PIECE = MIB
_BLANK = b" \t\n\r\f\v"


class RandomBlob(ABC):
    """A blob that can be read from anywhere; the sequential readings follow from that."""

    size: int

    @abstractmethod
    def read_at(self, offset: int, size: int) -> bytes:
        """Up to `size` bytes from `offset`; fewer only at the end."""

    def chunks(self) -> Iterator[bytes]:
        for offset in range(0, self.size, _PIECE_BYTES):
            yield self.read_at(offset, _PIECE_BYTES)

    def base64(self) -> Iterator[bytes]:
        for piece in self.chunks():
            yield pybase64.b64encode(piece)

    @property
    def base64_size(self) -> int:
        return (self.size + 2) // 3 * 4


def seekable(blob: Blob) -> RandomBlob:
    return blob if isinstance(blob, RandomBlob) else spool(blob.chunks(), limit=blob.size)[0]


class BytesBlob(RandomBlob):
    """Bytes in memory."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)

    def read_at(self, offset: int, size: int) -> bytes:
        return self._data[offset : offset + size]


class Base64Blob(RandomBlob):
    """Bytes kept as the base64 text they came in, which is handed on as it is.

    `text` is standard base64 with padding and nothing else, as decode_base64 checks it.
    """

    def __init__(self, text: bytes | str) -> None:
        self._text = text
        self.size = len(text) // 4 * 3 - self._slice(len(text) - 2, 2).count(b"=")

    def read_at(self, offset: int, size: int) -> bytes:
        first, last = offset // 3, (offset + size + 2) // 3
        data = pybase64.b64decode(self._slice(first * 4, (last - first) * 4), validate=True)
        skip = offset - first * 3
        return data[skip : skip + size]

    def base64(self) -> Iterator[bytes]:
        for offset in range(0, len(self._text), _TEXT_PIECE):
            yield self._slice(offset, _TEXT_PIECE)

    def _slice(self, offset: int, size: int) -> bytes:
        text = self._text[offset : offset + size]
        return text if isinstance(text, bytes) else text.encode("ascii")


class FileBlob(RandomBlob):
    """A file, by its path or by a descriptor that becomes the blob's own.

    The descriptor is closed with the blob, so a file without a name goes away with it.
    """

    def __init__(self, source: int | str | os.PathLike[str], size: int | None = None) -> None:
        try:
            self._fd = source if isinstance(source, int) else os.open(source, os.O_RDONLY)
        except OSError as err:
            raise StorageUnavailable("A stored file cannot be opened") from err
        self.close = weakref.finalize(self, os.close, self._fd)
        self.size = os.fstat(self._fd).st_size if size is None else size

    def read_at(self, offset: int, size: int) -> bytes:
        wanted = max(0, min(size, self.size - offset))
        try:
            data = os.pread(self._fd, wanted, offset)
        except OSError as err:
            raise StorageUnavailable("A stored file cannot be read") from err
        if len(data) != wanted:
            raise StorageUnavailable("A stored file is shorter than it was")
        return data


class _Tally:
    """Counts and hashes bytes on their way."""

    def __init__(self, limit: int) -> None:
        self.size = 0
        self.digest = hashlib.sha256()
        self._limit = limit

    def add(self, chunk: bytes) -> None:
        self.size += len(chunk)
        if self.size > self._limit:
            raise RequestTooLarge(f"The file is larger than {self._limit / MIB:g} MiB")
        self.digest.update(chunk)


class Spool:
    """Bytes on their way into a blob: a few stay in memory, more go to a file without a name.

    The block that takes them in ends before the blob is used; if it fails, nothing remains.
    """

    def __init__(self, *, limit: int, memory: int = 256 * KIB) -> None:
        self._tally = _Tally(limit)
        self._memory = memory
        self._held: list[bytes] = []
        self._fd = -1
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def write(self, chunk: bytes) -> None:
        """Raises RequestTooLarge, and StorageUnavailable when the disk is full."""
        self._tally.add(chunk)
        self._held.append(chunk)
        if self._tally.size > self._memory:
            if self._fd < 0:
                self._fd = _nameless_file()
                self._stack.callback(os.close, self._fd)
            for piece in self._held:
                _write(self._fd, piece)
            self._held.clear()

    def finish(self) -> tuple[RandomBlob, str]:
        """The blob, which outlasts the block, and the SHA-256 of its bytes in hex."""
        self._stack.pop_all()
        held, size = b"".join(self._held), self._tally.size
        blob = BytesBlob(held) if self._fd < 0 else FileBlob(self._fd, size)
        return blob, self._tally.digest.hexdigest()


def spool(
    chunks: Iterable[bytes], *, limit: int, memory: int = 256 * KIB
) -> tuple[RandomBlob, str]:
    """Take all of `chunks` in: a blob and its SHA-256 in hex.

    Up to `memory` bytes stay in memory. Raises as Spool does.
    """
    with Spool(limit=limit, memory=memory) as taken:
        for chunk in chunks:
            taken.write(chunk)
        return taken.finish()


def decode_base64(
    text: str | bytes | bytearray,
    *,
    limit: int,
    memory: int = 8 * MIB,
    start: int = 0,
    end: int | None = None,
) -> tuple[RandomBlob, str]:
    """Check base64 text and make a blob of it; also the SHA-256 of the bytes, in hex.

    The base64 is what lies between `start` and `end`: cutting it out would copy all of it.

    The alphabet is the standard one (no `-`, no `_`); as in browsers' data URLs, ASCII white
    space is ignored and padding may be missing. Text of up to `memory` characters is kept as
    it is; what is longer is decoded to a file without a name. Other greenlets get a turn
    after every MiB.

    Raises InvalidBase64, and RequestTooLarge when there are more than `limit` bytes.
    """
    end = len(text) if end is None else end
    if end - start > memory:
        return spool(_Decoding(text, start, end), limit=limit, memory=0)
    text = text[start:end] if isinstance(text, str) else bytes(memoryview(text)[start:end])
    tally, decoding = _Tally(limit), _Decoding(text, 0, len(text))
    for piece in decoding:
        tally.add(piece)
    if decoding.loose:
        text = _ascii(text).translate(None, _BLANK)
        text += b"=" * (-len(text) % 4)
    return Base64Blob(text), tally.digest.hexdigest()


class _Decoding:
    """The bytes of base64 text from `start` to `end`, a piece at a time.

    Once they are all read, `loose` tells whether the text had white space or lacked padding.
    """

    def __init__(self, text: str | bytes | bytearray, start: int, end: int) -> None:
        self._text = text
        self._start = start
        self._end = end
        self.loose = False

    def __iter__(self) -> Iterator[bytes]:
        held = b""  # what does not fill a group of four yet
        padded = False
        size = 0
        for offset in range(self._start, self._end, _TEXT_PIECE):
            piece = held + _ascii(self._text[offset : min(offset + _TEXT_PIECE, self._end)])
            held = b""
            data = _groups(piece)
            if data is None:
                # White space, or a mistake. Stripping first would cost every caller a third more.
                self.loose = True
                piece = piece.translate(None, _BLANK)
                whole = len(piece) // 4 * 4
                piece, held = piece[:whole], piece[whole:]
                data = _groups(piece)
            if data is None or (padded and (data or held)):
                raise InvalidBase64("The data is not base64: some characters do not belong there")
            padded = padded or piece.endswith(b"=")
            size += len(data)
            yield data
            cooperative_yield()
        if len(held) > 1 and not padded and b"=" not in held:
            # https://infra.spec.whatwg.org/#forgiving-base64-decode
            rest, held = _groups(held + b"=" * (-len(held) % 4)), b""
            if rest is None:
                raise InvalidBase64("The data is not base64: some characters do not belong there")
            size += len(rest)
            yield rest
        if held or not size:
            raise InvalidBase64("The data is not base64: it is empty, or its end is missing")


def _groups(text: bytes) -> bytes | None:
    try:
        return pybase64.b64decode(text, validate=True)
    except binascii.Error:
        return None


def _ascii(text: str | bytes | bytearray) -> bytes:
    try:
        return text.encode("ascii") if isinstance(text, str) else bytes(text)
    except UnicodeEncodeError:
        # Without its cause, which quotes the text.
        raise InvalidBase64("The data is not base64: it has characters beyond ASCII") from None


def _nameless_file() -> int:
    try:
        with tempfile.TemporaryFile(buffering=0) as file:
            return os.dup(file.fileno())
    except OSError as err:
        raise StorageUnavailable("There is no room for a temporary file") from err


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(fd, view) :]
    except OSError as err:
        raise StorageUnavailable("There is no room for a temporary file") from err
