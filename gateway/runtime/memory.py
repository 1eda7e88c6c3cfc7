"""Bounds on the memory of a process: a budget for large requests, and frames released early."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from gateway.domain.errors import GatewayOverloaded


class MemoryBudget:
    """Bytes that requests may hold at the same time. A request waits for its share."""

    def __init__(self, limit_bytes: int, *, wait_s: float) -> None:
        self._limit_bytes = limit_bytes
        self._wait_s = wait_s
        self._used_bytes = 0
        self._freed = threading.Condition()

    @contextmanager
    def reserve(self, size_bytes: int) -> Iterator[None]:
        """Hold `size_bytes` for the block; raises GatewayOverloaded after `wait_s`.

        A request larger than the whole budget has it to itself.
        """
        share = min(size_bytes, self._limit_bytes)
        with self._freed:
            if not self._freed.wait_for(lambda: self._fits(share), self._wait_s):
                raise GatewayOverloaded(
                    "The gateway is busy with other large requests; try again.", retry_after=1
                )
            self._used_bytes += share
        try:
            yield
        finally:
            with self._freed:
                self._used_bytes -= share
                self._freed.notify_all()

    def _fits(self, share: int) -> bool:
        return self._used_bytes + share <= self._limit_bytes


def release_frames(error: BaseException | None) -> None:
    """Clear the finished frames that an error refers to, whose locals may be large.

    Errors are often part of reference cycles, which only a rare full collection ends.
    """
    for _ in range(10):
        if error is None:
            return
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__
