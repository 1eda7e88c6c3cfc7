"""Bounds retries to a share of the requests, so that a vendor in trouble is not given more."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

_WINDOW_S = 10
_SHARE = 0.2
_FLOOR = 10  # retries per window that any process may make


class RetryBudget:
    """In any ten seconds, retries are at most a fifth of the requests, or ten."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seconds: deque[list[int]] = deque()  # each: the second, requests, retries

    def count_request(self) -> None:
        self._current()[1] += 1

    def take(self) -> bool:
        """Whether one more retry may be made; it is counted."""
        current = self._current()
        requests = sum(second[1] for second in self._seconds)
        retries = sum(second[2] for second in self._seconds)
        if retries >= max(_FLOOR, _SHARE * requests):
            return False
        current[2] += 1
        return True

    def _current(self) -> list[int]:
        now = int(self._clock())
        seconds = self._seconds
        if not seconds or seconds[-1][0] != now:
            seconds.append([now, 0, 0])
            while seconds[0][0] <= now - _WINDOW_S:
                seconds.popleft()
        return seconds[-1]
