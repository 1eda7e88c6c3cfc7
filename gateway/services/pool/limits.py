"""Limits on what the gateway itself asks of an account, by kind of work."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from gateway.domain.accounts import Kind
from gateway.services.access.limits import limits_of
from gateway.storage.rate_counters import Counters


class QuotaExceeded(NamedTuple):
    wait_s: float  # before there can be more room
    full: bool  # there is none for a single call either


class Quota(Protocol):
    def take(self, account: str, kind: Kind, limit: str, amount: int) -> QuotaExceeded | None:
        """Count so many calls, or none of them where there is no room for all."""
        ...


def never_allows(limit: str, amount: int) -> bool:
    """True where so many calls at once are too many for a limit; "" is none."""
    return bool(limit) and any(item.amount < amount for item in limits_of(limit)[0])


class AccountLimits:
    def __init__(self, counters: Counters) -> None:
        self._counters = counters

    def take(self, account: str, kind: Kind, limit: str, amount: int) -> QuotaExceeded | None:
        _, limits = limits_of(limit, "account", account, kind, ours=True)
        windows = self._counters.take(limits, amount)
        short = [pair for pair in zip(limits, windows, strict=True) if not pair[1].room]
        if not short:
            return None
        # More than a limit allows at all never has room; its length is as good as any answer.
        wait_s = max(w.left_s if amount <= limit.amount else limit.expiry for limit, w in short)
        full = any(window.hits >= limit.amount for limit, window in short)
        return QuotaExceeded(max(wait_s, 0.01), full)
