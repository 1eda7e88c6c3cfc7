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
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from limits.storage import MovingWindowSupport, Storage

from gateway.runtime.logs import log
from gateway.storage.db.mapped import boot_id, opened

SCHEME = "gateway"
FILE = "windows"
MARKS = 32

# A row is what was counted under a key: the digest of the key, when all of it is over by the
# monotonic clock, which the processes of a machine share, how many hits, a ring of marks, and
# whether no caller has a say in which keys there are, so that none can push it out.
# A mark is the time of some hits, of which it names the last, and their number. Rows live in
# buckets of eight, whose heads come first; in which bucket only the file's own seed tells.
_HEAD = struct.Struct("=16sdIBB?x")
_MARK = struct.Struct("=dI")
_DIGEST_BYTES = 16
_BUCKETS = 4096
_ROWS = 8
_HEADS_BYTES = _ROWS * _HEAD.size
_MARKS_BYTES = MARKS * _MARK.size
_BUCKET_BYTES = _HEADS_BYTES + _ROWS * _MARKS_BYTES
_TABLE_BYTES = _BUCKETS * _BUCKET_BYTES
_SEED_BYTES = 16
_BOOT = slice(_TABLE_BYTES, _TABLE_BYTES + _DIGEST_BYTES)
_SEED = slice(_BOOT.stop, _BOOT.stop + _SEED_BYTES)
_FREE = bytes(_DIGEST_BYTES)


class Limit:
    """At most `amount` hits under a key in any `expiry` seconds; to be kept for the next hit.

    `ours` are those of what the operator has configured.
    """

    __slots__ = ("_bucket", "_seed", "amount", "digest", "expiry", "grain", "key", "ours")

    def __init__(self, key: str, amount: int, expiry: float, *, ours: bool = False) -> None:
        self.key = key
        self.amount = amount
        self.expiry = expiry
        self.ours = ours
        self.digest = _digest(key)
        self._seed, self._bucket = b"", 0
        # How many hits share a mark, and are over when the last of them is. Up to `MARKS` - 1
        # hits are kept one by one; of more, about 3 % at most count too long.
        self.grain = -(-amount // (MARKS - 1))

    def bucket(self, seed: bytes) -> int:
        if seed is not self._seed:
            self._bucket = _bucket(self.digest, seed)
            self._seed = seed
        return self._bucket


class Window(NamedTuple):
    hits: int  # that count now
    left_s: float  # until the oldest counts no more
    room: bool = True  # whether there was any for what was to be counted


class Counters(Storage, MovingWindowSupport):
    """Moving windows for the `limits` library, several of which can be counted in one go."""

    @abstractmethod
    def take(self, limits: Sequence[Limit], amount: int = 1) -> list[Window]:
        """Count so many hits under all of them, or none where one has no room for all."""

    @abstractmethod
    def window(self, limit: Limit) -> Window:
        """How it stands, and whether it has room."""

    def acquire_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        return self.take([Limit(key, limit, expiry)], amount)[0].room

    def get_moving_window(self, key: str, limit: int, expiry: int) -> tuple[float, int]:
        """When it began, in time of the wall, and its hits."""
        found = self.window(Limit(key, limit, expiry))
        return time.time() + found.left_s - expiry if found.hits else time.time(), found.hits

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        raise NotImplementedError("the windows move")

    def get(self, key: str) -> int:
        raise NotImplementedError("the windows move")

    def get_expiry(self, key: str) -> float:
        raise NotImplementedError("the windows move")


class _Row:
    """A row as it is now, without what is over. The table's lock guards it."""

    __slots__ = (
        "_count",
        "_digest",
        "_expiry",
        "_first",
        "_grain",
        "_head",
        "_marks",
        "_ours",
        "_table",
        "hits",
    )

    def __init__(self, table: mmap.mmap, seed: bytes, limit: Limit, now: float) -> None:
        bucket = limit.bucket(seed)
        self._table = table
        self._digest = digest = limit.digest
        self._expiry = limit.expiry
        self._grain = limit.grain
        self._ours = limit.ours
        self.hits = self._first = self._count = 0
        found = table.find(digest, bucket, bucket + _HEADS_BYTES)
        self._head = found if found >= 0 else _oldest(table, bucket, now)
        row = (self._head - bucket) // _HEAD.size
        self._marks = bucket + _HEADS_BYTES + row * _MARKS_BYTES
        if found >= 0:
            _, end, hits, first, count, _ = _HEAD.unpack_from(table, found)
            # An end that is too far away is of a clock that has begun anew since.
            if now < end <= now + limit.expiry:
                self.hits, self._first, self._count = hits, first, count
                self._forget(now - limit.expiry)

    def _forget(self, until: float) -> None:
        while self._count:
            at, hits = _MARK.unpack_from(self._table, self._place(0))
            if at > until:
                break
            self.hits -= hits
            self._first = (self._first + 1) % MARKS
            self._count -= 1

    def _place(self, nth: int) -> int:
        return self._marks + (self._first + nth) % MARKS * _MARK.size

    def left_s(self, now: float) -> float:
        if not self._count:
            return 0.0
        oldest: float = _MARK.unpack_from(self._table, self._place(0))[0]
        return oldest + self._expiry - now

    def add(self, at: float, amount: int) -> None:
        newest = self._place(self._count - 1)
        together = amount
        if self._count:
            together += _MARK.unpack_from(self._table, newest)[1]
        if self._count and (together <= self._grain or self._count == MARKS):
            _MARK.pack_into(self._table, newest, at, together)
        else:
            _MARK.pack_into(self._table, self._place(self._count), at, amount)
            self._count += 1
        self._written(at + self._expiry, amount)

    def add_older(self, hits: int, at: float) -> None:
        """Hits that were counted elsewhere since the oldest that is known here, or since `at`."""
        if self._count:
            oldest, known = _MARK.unpack_from(self._table, self._place(0))
            end: float = _HEAD.unpack_from(self._table, self._head)[1]
            _MARK.pack_into(self._table, self._place(0), oldest, known + hits)
            self._written(end, hits)
        else:
            _MARK.pack_into(self._table, self._place(0), at, hits)
            self._count = 1
            self._written(at + self._expiry, hits)

    def _written(self, end: float, hits: int) -> None:
        self.hits += hits
        _HEAD.pack_into(
            self._table,
            self._head,
            *(self._digest, end, self.hits, self._first, self._count, self._ours),
        )


def _oldest(table: mmap.mmap, bucket: int, now: float) -> int:
    """Of the rows of a full bucket, the one of callers that is over first makes room."""

    def rank(head: int) -> tuple[bool, float]:
        _, end, *_, ours = _HEAD.unpack_from(table, head)
        return ours and end > now, end

    return min(range(bucket, bucket + _HEADS_BYTES, _HEAD.size), key=rank)


class MachineCounters(Counters):
    """Moving windows in a file of 14 MB that is mapped into memory.

    Without a path, or where no file can be made, the counters are those of the process alone.
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
        digest = _digest(key)
        with self._turn:
            start = _bucket(digest, self._seed)
            at = self._table.find(digest, start, start + _HEADS_BYTES)
            if at >= 0:
                _HEAD.pack_into(self._table, at, _FREE, 0.0, 0, 0, 0, False)

    def take(self, limits: Sequence[Limit], amount: int = 1) -> list[Window]:
        with self._turn:
            now = self._clock()
            rows = [_Row(self._table, self._seed, limit, now) for limit in limits]
            room = [
                row.hits + amount <= limit.amount for row, limit in zip(rows, limits, strict=True)
            ]
            if all(room):
                for row in rows:
                    row.add(now, amount)
            return [
                Window(row.hits, row.left_s(now), fits)
                for row, fits in zip(rows, room, strict=True)
            ]

    def window(self, limit: Limit) -> Window:
        with self._turn:
            now = self._clock()
            row = _Row(self._table, self._seed, limit, now)
            return Window(row.hits, row.left_s(now), row.hits < limit.amount)

    def learn(self, limit: Limit, shared: Window, *, at: float, amount: int) -> None:
        """Take over what is counted elsewhere where it is more, with the hits of `at`.

        Nothing that is learnt counts for longer here than there.
        """
        with self._turn:
            now = self._clock()
            row = _Row(self._table, self._seed, limit, now)
            missing = shared.hits - row.hits
            if missing > amount:
                row.add_older(missing - amount, now + shared.left_s - limit.expiry)
            if min(missing, amount) > 0:
                row.add(at, min(missing, amount))

    def _open(self) -> None:
        size = _SEED.stop
        try:
            file = opened(Path(self._path), size) if self._path else -1
        except OSError as err:
            log.warning("counters_unshared", path=self._path, message=str(err))
            file = -1
        self._table = mmap.mmap(file, size)
        self._turn = _Turn(file)
        boot = _digest(boot_id())
        with self._turn:
            known = self._table[_BOOT]
            if known not in (boot, _FREE):  # the clock began anew, so no row is true
                self._table[:_TABLE_BYTES] = bytes(_TABLE_BYTES)
                self._table.madvise(mmap.MADV_DONTNEED)  # the file keeps it; we need few pages
            self._table[_BOOT] = boot
            if self._table[_SEED] == bytes(_SEED_BYTES):
                self._table[_SEED] = os.urandom(_SEED_BYTES)
            self._seed = self._table[_SEED]


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


def _reopen(counters: MachineCounters | None) -> None:
    if counters is not None:
        counters._open()


def _digest(key: str) -> bytes:
    return hashlib.blake2b(key.encode(), digest_size=_DIGEST_BYTES).digest()


def _bucket(digest: bytes, seed: bytes) -> int:
    drawn = hashlib.blake2b(digest, key=seed, digest_size=4).digest()
    return int.from_bytes(drawn, "little") % _BUCKETS * _BUCKET_BYTES
