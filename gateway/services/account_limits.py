"""Limits on what the gateway itself asks of an account, by kind of work."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from typing import Protocol

from limits import RateLimitItem
from limits.strategies import RateLimiter

from gateway.domain.accounts import Kind
from gateway.settings_tables import parse_limits

_parsed = lru_cache(maxsize=1024)(parse_limits)


class Quota(Protocol):
    def take(self, account: str, kind: Kind, limit: str) -> float:
        """Count one call; 0, or the seconds until there is room for it."""
        ...


class AccountLimits:
    """`rates` are fixed windows, wherever they are kept."""

    def __init__(self, rates: RateLimiter, *, clock: Callable[[], float] = time.time) -> None:
        self._rates = rates
        self._clock = clock

    def take(self, account: str, kind: Kind, limit: str) -> float:
        items = _parsed(limit)
        # All are asked before any counts: what one of them refuses costs the others nothing.
        for ask in (self._rates.test, self._rates.hit):
            for item in items:
                if not ask(item, "account", account, kind):
                    return self._left_s(item, account, kind)
        return 0.0

    def _left_s(self, item: RateLimitItem, account: str, kind: Kind) -> float:
        reset_at: float = self._rates.get_window_stats(item, "account", account, kind).reset_time
        return max(reset_at - self._clock(), 0.01)
