"""Pause after a failure, in which calls are refused at once instead of failing slowly."""

from __future__ import annotations

import time
from collections.abc import Callable


class Backoff:
    def __init__(self, pause_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._pause_s = pause_s
        self._clock = clock
        self._until = 0.0

    @property
    def active(self) -> bool:
        return self._clock() < self._until

    def failed(self) -> None:
        self._until = self._clock() + self._pause_s
