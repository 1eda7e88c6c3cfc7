"""Counters of rate limits that all processes of one machine share.

A storage for the `limits` library, under the scheme `gateway:`. The library's own in-memory
storage counts for each process by itself, and by the clock of the wall, which may jump.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import struct
import time
import weakref
from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from limits.storage import Storage

from gateway.stores.clock import boot_id

SCHEME = "gateway"

# A row is a window: the digest of its key, how often it was counted, and when it ends by the
# monotonic clock, which the processes of a machine share. Rows live in buckets of eight.
_ROW = struct.Struct("=16sQd")
_VALUES = struct.Struct("=Qd")
_DIGEST_BYTES = 16
_BUCKETS = 8192
_BUCKET_BYTES = 8 * _ROW.size
_TABLE_BYTES = _BUCKETS * _BUCKET_BYTES
_FREE = bytes(_DIGEST_BYTES)


class Window(NamedTuple):
    hits: int
    left_s: float


class Counters(Storage):
    """Fixed windows for the `limits` library, which also tell all they know in one go."""

    @abstractmethod
    def take(self, key: str, expiry: float, amount: int = 1) -> Window:
        """Count in the running window of the key, or begin one of `expiry` seconds."""

    @abstractmethod
    def window(self, key: str) -> Window:
        """What is counted of a key, nothing where no window runs."""

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        return self.take(key, expiry, amount).hits

    def get(self, key: str) -> int:
        return self.window(key).hits

    def get_expiry(self, key: str) -> float:
        """A time of the wall, as `limits` wants it."""
        return time.time() + self.window(key).left_s


class MachineCounters(Counters):
    """Fixed windows in a file of 2 MB that is mapped into memory.

    Without a path, or where no file can be made, the counters are those of the process
    alone. In a full bucket the window that ends first makes room.
    """

    STORAGE_SCHEME = [SCHEME]  # noqa: RUF012

    def __init__(
        self,
        uri: str | None = None,
        wrap_exceptions: bool = False,
        *,
        path: str = "",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(uri, wrap_exceptions=wrap_exceptions)
        self._path = path
        self._clock = clock
        self._open()
        # A lock belongs to the opened file, so a forked process opens its own.
        this = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _reopen(this()))

    @property
    def base_exceptions(self) -> type[Exception]:
        return OSError

    def check(self) -> bool:
        return True

    def reset(self) -> int | None:
        with self._turn:
            self._table[:_TABLE_BYTES] = bytes(_TABLE_BYTES)
        return None

    def clear(self, key: str) -> None:
        with self._turn:
            at = self._find(_digest(key))
            if at >= 0:
                _ROW.pack_into(self._table, at, _FREE, 0, 0.0)

    def take(self, key: str, expiry: float, amount: int = 1) -> Window:
        digest = _digest(key)
        with self._turn:
            now = self._clock()
            at, count, end = self._row(digest)
            if not now < end <= now + expiry:
                count, end = 0, now + expiry
            _ROW.pack_into(self._table, at, digest, count + amount, end)
        return Window(count + amount, end - now)

    def learn(self, key: str, window: Window) -> None:
        """Take over what is known elsewhere of a window, where it is more."""
        digest = _digest(key)
        with self._turn:
            now = self._clock()
            at, count, end = self._row(digest)
            if end <= now or count < window.hits:
                _ROW.pack_into(self._table, at, digest, window.hits, now + window.left_s)

    def window(self, key: str) -> Window:
        at = self._find(_digest(key))
        if at < 0:
            return Window(0, 0.0)
        count, end = _VALUES.unpack_from(self._table, at + _DIGEST_BYTES)
        left_s = end - self._clock()
        return Window(count, left_s) if left_s > 0 else Window(0, 0.0)

    def _row(self, digest: bytes) -> tuple[int, int, float]:
        """Where the row of a window is or may be written, and what it holds."""
        at = self._find(digest)
        if at >= 0:
            count, end = _VALUES.unpack_from(self._table, at + _DIGEST_BYTES)
            return at, count, end
        start = _bucket(digest)
        ends = [
            _VALUES.unpack_from(self._table, at + _DIGEST_BYTES)[1]
            for at in range(start, start + _BUCKET_BYTES, _ROW.size)
        ]
        return start + ends.index(min(ends)) * _ROW.size, 0, 0.0

    def _find(self, digest: bytes) -> int:
        start = _bucket(digest)
        return self._table.find(digest, start, start + _BUCKET_BYTES)

    def _open(self) -> None:
        size = _TABLE_BYTES + _DIGEST_BYTES
        try:
            file = _opened(Path(self._path), size) if self._path else -1
        except OSError:
            file = -1
        self._table = mmap.mmap(file, size)
        self._turn = _Turn(file)
        boot = _digest(boot_id())
        with self._turn:
            if self._table[_TABLE_BYTES:] != boot:  # the clock began anew, so no row is true
                self._table[:] = bytes(_TABLE_BYTES) + boot
                self._table.madvise(mmap.MADV_DONTNEED)  # the file keeps it; we need few pages


class _Turn:
    """One thread of one process at a time; of no others, where there is no file."""

    __slots__ = ("__weakref__", "_file", "_lock")

    def __init__(self, file: int) -> None:
        self._file = file
        self._lock = Lock()
        if file >= 0:
            weakref.finalize(self, os.close, file)

    def __enter__(self) -> None:
        self._lock.acquire()
        if self._file >= 0:
            fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        if self._file >= 0:
            fcntl.flock(self._file, fcntl.LOCK_UN)
        self._lock.release()


def _opened(path: Path, size: int) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    os.truncate(file, size)
    return file


def _reopen(counters: MachineCounters | None) -> None:
    if counters is not None:
        counters._open()


def _digest(key: str) -> bytes:
    return hashlib.blake2b(key.encode(), digest_size=_DIGEST_BYTES).digest()


def _bucket(digest: bytes) -> int:
    return int.from_bytes(digest[:4], "little") % _BUCKETS * _BUCKET_BYTES
