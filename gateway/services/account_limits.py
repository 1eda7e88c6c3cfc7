"""Limits on what the gateway itself asks of an account, by kind of work."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Protocol

from limits import RateLimitItem, parse_many
from limits.storage import MemoryStorage, Storage
from limits.strategies import MovingWindowRateLimiter

from gateway.domain.accounts import Kind


class Quota(Protocol):
    def take(self, account: str, kind: Kind, limit: str) -> float:
        """Count one call; 0, or, without counting it, the seconds until there is room."""
        ...


@lru_cache(maxsize=1024)
def parse(limit: str) -> tuple[RateLimitItem, ...]:
    """Limits such as "600/minute" or "20/hour; 100/day". Raises ValueError."""
    return tuple(parse_many(limit))


class AccountLimits:
    """Windows that move with time, so that no minute has more calls than a minute may have."""

    def __init__(self, storage: Storage | None = None) -> None:
        self._windows = MovingWindowRateLimiter(storage or MemoryStorage())

    def take(self, account: str, kind: Kind, limit: str) -> float:
        items = parse(limit)
        # All are asked before any is counted; what one refuses costs the others nothing.
        for item in items if len(items) > 1 else ():
            if not self._windows.test(item, account, kind):
                return self._wait_s(item, account, kind)
        for item in items:
            if not self._windows.hit(item, account, kind):
                return self._wait_s(item, account, kind)
        return 0.0

    def _wait_s(self, item: RateLimitItem, account: str, kind: Kind) -> float:
        reset_at: float = self._windows.get_window_stats(item, account, kind).reset_time
        return min(max(reset_at - time.time(), 0.05), float(item.get_expiry()))
