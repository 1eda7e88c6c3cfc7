"""Rate-limit counters: in Redis, or in memory that the processes of one machine share.

`MachineStorage` is a storage of the `limits` library for its sliding-window counter, which
needs two numbers per key. The library's own in-memory storage counts in each process apart.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from math import floor
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, TypeVar

from limits import RateLimitItem
from limits.storage import MemoryStorage, SlidingWindowCounterSupport, Storage, storage_from_string
from limits.strategies import SlidingWindowCounterRateLimiter

from gateway.domain.accounts import LimitStatus
from gateway.runtime.logs import log

T = TypeVar("T")

STRATEGY = "sliding-window-counter"
_SCHEME = "gateway-machine"
_REDIS_WAIT_S = 0.25
_REDIS_RETRY_S = 2.0

# A row: digest of the key, number of the current window, its length in seconds, hits of the
# window before it, hits of the current window.
_ROW = struct.Struct("=16sqIII")
_BUCKETS = 4096
_BUCKET_ROWS = 8
_BUCKET_BYTES = _BUCKET_ROWS * _ROW.size
_SIZE_BYTES = _BUCKETS * _BUCKET_BYTES


def storage_location(redis_url: str | None, state_dir: Path) -> tuple[str, dict[str, Any]]:
    """URI and options of the storage for `limits` and Flask-Limiter.

    The counters are in a file of `state_dir` where there is no Redis. Raises ValueError for a
    URL that no client can use.
    """
    if redis_url is None:
        return f"{_SCHEME}:", {"path": str(state_dir / "rate_counters")}
    # A gateway without Redis does without the megabytes of its client.
    from redis import ConnectionPool, RedisError
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    options: dict[str, Any] = {
        "socket_timeout": _REDIS_WAIT_S,
        "socket_connect_timeout": _REDIS_WAIT_S,
        "retry": Retry(NoBackoff(), 0),
    }
    try:
        ConnectionPool.from_url(redis_url, **options).make_connection()
    except TypeError:
        raise ValueError("an option in the query is none of Redis clients") from None
    except RedisError as err:
        raise ValueError(str(err)) from None
    uri = f"redis+{redis_url}" if redis_url.startswith("unix:") else redis_url
    return uri, options


def ping_redis(url: str) -> bool:
    """Tell that Redis answers. Raises ValueError for a URL that no client can use."""
    uri, options = storage_location(url, Path())
    return bool(storage_from_string(uri, **options).check())


class MachineStorage(Storage, SlidingWindowCounterSupport):
    """Hash table of 1.2 MB in a file mapped into memory; a full bucket loses its oldest row.

    Without a usable file the counters are those of the process alone.
    """

    STORAGE_SCHEME = [_SCHEME]  # noqa: RUF012

    def __init__(
        self,
        uri: str | None = None,
        wrap_exceptions: bool = False,
        *,
        path: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(uri, wrap_exceptions=wrap_exceptions)
        self._clock = clock
        self._lock = Lock()
        self._file = -1
        if path:
            try:
                self._file = _open(Path(path))
            except OSError as err:
                log.warning("rate_counters_not_shared", path=path, message=str(err))
        self._table = mmap.mmap(self._file, _SIZE_BYTES)

    def __del__(self) -> None:
        with suppress(AttributeError, OSError):
            if self._file >= 0:
                os.close(self._file)

    def acquire_sliding_window_entry(
        self, key: str, limit: int, expiry: int, amount: int = 1
    ) -> bool:
        with self._lock, _Locked(self._file):
            now = self._clock()
            at, digest, previous, current = self._read(key, expiry, now)
            weighted = previous * _left_share(now, expiry) + current
            if floor(weighted) + amount > limit:
                return False
            row = (digest, int(now / expiry), expiry, previous, current + amount)
            _ROW.pack_into(self._table, at, *row)
            return True

    def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        with self._lock, _Locked(self._file):
            now = self._clock()
            _, _, previous, current = self._read(key, expiry, now)
        left_s = _left_share(now, expiry) * expiry
        return previous, left_s if previous else 0.0, current, left_s + expiry

    def clear_sliding_window(self, key: str, expiry: int) -> None:
        self.clear(key)

    def clear(self, key: str) -> None:
        with self._lock, _Locked(self._file):
            at, digest, *_ = self._read(key, 1, self._clock())
            if self._table[at : at + len(digest)] == digest:
                self._table[at : at + _ROW.size] = bytes(_ROW.size)

    def reset(self) -> int | None:
        with self._lock, _Locked(self._file):
            self._table[:] = bytes(_SIZE_BYTES)
        return None

    def check(self) -> bool:
        return True

    @property
    def base_exceptions(self) -> type[Exception]:
        return OSError

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        raise NotImplementedError("only sliding windows are counted")

    def get(self, key: str) -> int:
        raise NotImplementedError("only sliding windows are counted")

    def get_expiry(self, key: str) -> float:
        raise NotImplementedError("only sliding windows are counted")

    def _read(self, key: str, expiry: int, now: float) -> tuple[int, bytes, int, int]:
        """Offset of the key's row (or the row it replaces), digest, previous and current hits."""
        digest = hashlib.blake2b(key.encode(), digest_size=16).digest()
        start = int.from_bytes(digest[:4], "little") % _BUCKETS * _BUCKET_BYTES
        at = self._table.find(digest, start, start + _BUCKET_BYTES)
        if at >= 0 and (at - start) % _ROW.size == 0:
            _, number, _, previous, current = _ROW.unpack_from(self._table, at)
            windows = int(now / expiry) - number
            if windows == 0:
                return at, digest, previous, current
            return at, digest, current if windows == 1 else 0, 0
        return self._oldest(start), digest, 0, 0

    def _oldest(self, start: int) -> int:
        """Offset of the row of a bucket that ends first; unused rows have ended."""

        def end(at: int) -> int:
            _, number, length, _, _ = _ROW.unpack_from(self._table, at)
            return (number + 2) * length  # type: ignore[no-any-return]

        return min(range(start, start + _BUCKET_BYTES, _ROW.size), key=end)


class _Locked:
    """Lock between processes, where there is a file."""

    __slots__ = ("_file",)

    def __init__(self, file: int) -> None:
        self._file = file

    def __enter__(self) -> None:
        if self._file >= 0:
            fcntl.flock(self._file, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        if self._file >= 0:
            fcntl.flock(self._file, fcntl.LOCK_UN)


def _open(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        # A write to a mapped page for which the disk has no room would kill the process.
        os.posix_fallocate(file, 0, _SIZE_BYTES)
    except BaseException:
        os.close(file)
        raise
    return file


def _left_share(now: float, expiry: int) -> float:
    """Share of the current window that is still to come; the weight of the previous window."""
    return 1 - (now / expiry) % 1


class QuotaExceeded(NamedTuple):
    wait_s: float  # until there can be room for the calls
    full: bool  # there is no room for one call either


class RateCounters:
    """Sliding-window counters that fall back to this process' memory while Redis is away."""

    def __init__(
        self,
        uri: str,
        options: Mapping[str, Any],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises ValueError for a URI that no client can use."""
        storage = storage_from_string(uri, **options)
        assert isinstance(storage, Storage)
        self._shared = _windows(storage)
        self._local = _windows(MemoryStorage())
        self._clock = clock
        self._retry_at = 0.0

    def take(
        self, items: Sequence[RateLimitItem], *key: str, amount: int = 1
    ) -> QuotaExceeded | None:
        """Count the calls under all items, or under none where one of them has no room."""
        return self._ask(lambda windows: _take(windows, items, key, amount))

    def status(self, items: Sequence[RateLimitItem], *key: str) -> LimitStatus:
        """State of the limit with the least remaining calls."""
        return self._ask(lambda windows: _tightest(windows, items, key))

    @property
    def away(self) -> bool:
        """True while this process counts for itself."""
        return self._retry_at > 0

    def _ask(self, question: Callable[[SlidingWindowCounterRateLimiter], T]) -> T:
        if not self.away or self._clock() >= self._retry_at:
            try:
                answer = question(self._shared)
            except self._shared.storage.base_exceptions as err:
                self._retry_at = self._clock() + _REDIS_RETRY_S
                log.warning("rate_counters_away", reason=str(err))
            else:
                self._retry_at = 0.0
                return answer
        return question(self._local)


def _windows(storage: Storage) -> SlidingWindowCounterRateLimiter:
    return SlidingWindowCounterRateLimiter(storage)


def _tightest(
    windows: SlidingWindowCounterRateLimiter, items: Sequence[RateLimitItem], key: tuple[str, ...]
) -> LimitStatus:
    found = []
    for item in items:
        hits = _hits(windows, item, key)
        weighted = hits.previous * hits.previous_left_s / item.get_expiry() + hits.current
        remaining = max(0, item.amount - floor(weighted))
        reset_s = hits.wait_s(item, min(remaining + 1, item.amount))
        found.append(LimitStatus(str(item), item.amount, remaining, reset_s))
    return min(found, key=lambda status: status.remaining)


def _take(
    windows: SlidingWindowCounterRateLimiter,
    items: Sequence[RateLimitItem],
    key: tuple[str, ...],
    amount: int,
) -> QuotaExceeded | None:
    refused: list[RateLimitItem] = []
    if len(items) > 1:
        refused = [item for item in items if not windows.test(item, *key, cost=amount)]
    if not refused:
        refused = [item for item in items if not windows.hit(item, *key, cost=amount)]
    if not refused:
        return None
    longest_s = max(wait_s(windows, item, *key, amount=amount) for item in refused)
    return QuotaExceeded(longest_s, any(not windows.test(item, *key) for item in refused))


class _Hits(NamedTuple):
    """Hits of a key in the previous and the current window, and when these count no more."""

    previous: int
    previous_left_s: float
    current: int
    current_left_s: float

    def wait_s(self, item: RateLimitItem, amount: int) -> float:
        """Seconds until `amount` calls fit, if no other call is counted."""
        expiry = item.get_expiry()
        room = item.amount - amount - self.current + 1  # weighted previous hits must be below
        if room > 0:
            if not self.previous:
                return 0.0
            return max(0.01, self.previous_left_s - room * expiry / self.previous)
        room = item.amount - amount + 1
        window_left_s = self.current_left_s - expiry
        if room <= 0:
            return window_left_s + expiry
        return window_left_s + max(0.01, expiry - room * expiry / self.current)


def _hits(
    windows: SlidingWindowCounterRateLimiter, item: RateLimitItem, key: Sequence[str]
) -> _Hits:
    storage = windows.storage
    assert isinstance(storage, SlidingWindowCounterSupport)
    return _Hits(*storage.get_sliding_window(item.key_for(*key), item.get_expiry()))


def wait_s(
    windows: SlidingWindowCounterRateLimiter, item: RateLimitItem, *key: str, amount: int = 1
) -> float:
    """Seconds until `amount` calls fit, if no other call is counted."""
    return _hits(windows, item, key).wait_s(item, amount)
