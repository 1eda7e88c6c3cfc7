"""Limits on calls to an account, by kind of work."""

from __future__ import annotations

from functools import lru_cache
from typing import Protocol

from limits import RateLimitItem

from gateway.config.toml import parse_limits
from gateway.domain.accounts import Kind
from gateway.storage.rate_counters import QuotaExceeded, RateCounters


class Quota(Protocol):
    def take(self, account: str, kind: Kind, limit: str, amount: int) -> QuotaExceeded | None:
        """Count so many calls, or none of them where there is no room for all."""
        ...


def never_allows(limit: str, amount: int) -> bool:
    """Tell that a limit can never have room for so many calls at once; "" is no limit."""
    return bool(limit) and any(item.amount < amount for item in _items(limit))


class AccountLimits:
    def __init__(self, counters: RateCounters) -> None:
        self._counters = counters

    def take(self, account: str, kind: Kind, limit: str, amount: int) -> QuotaExceeded | None:
        return self._counters.take(_items(limit), "account", account, kind, amount=amount)


@lru_cache(maxsize=1024)
def _items(limit: str) -> tuple[RateLimitItem, ...]:
    return parse_limits(limit)
