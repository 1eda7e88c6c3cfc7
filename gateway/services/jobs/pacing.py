"""Pace of the queries about tasks, per account: vendors limit them apart from new work.

A rate limit slows the queries of that account down and is no failure of the account. Queries
that fall due at the same moment, as after a restart, are spread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from threading import Lock

_MAX_PER_S = 8.0  # by one process, where a vendor allows 20 to an account
_MIN_PER_S = 0.5
_STEP_PER_S = 0.25  # by which every answer raises the rate again
_PAUSE_S = 1.0


@dataclass(slots=True)
class _Pace:
    per_s: float = _MAX_PER_S
    next_at: float = 0.0
    slowed_at: float = 0.0


class QueryPacer:
    """Additive increase, multiplicative decrease of the rate of each account."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = Lock()
        self._paces: dict[str, _Pace] = {}

    def reserve(self, account: str) -> float:
        """Reserve the account's next query; returns the seconds until then."""
        with self._lock:
            pace = self._paces.setdefault(account, _Pace())
            at = max(self._clock(), pace.next_at)
            pace.next_at = at + 1 / pace.per_s
            return at - self._clock()

    def answered(self, account: str) -> None:
        with self._lock:
            if (pace := self._paces.get(account)) is not None:
                pace.per_s = min(_MAX_PER_S, pace.per_s + _STEP_PER_S)

    def limited(self, account: str, retry_after_s: float | None) -> None:
        """Halve the rate, at most once a second, and pause the account's queries."""
        with self._lock:
            now, pace = self._clock(), self._paces.setdefault(account, _Pace())
            if now - pace.slowed_at >= _PAUSE_S:
                pace.slowed_at = now
                pace.per_s = max(_MIN_PER_S, pace.per_s / 2)
            pace.next_at = max(pace.next_at, now + min(retry_after_s or _PAUSE_S, 60.0))
