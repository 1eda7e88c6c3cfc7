"""Limits on what the gateway itself asks of an account, by kind of work."""

from __future__ import annotations

from typing import Protocol

from gateway.domain.accounts import Kind
from gateway.services.limits import limits_of
from gateway.stores.counters import Counters


class Quota(Protocol):
    def take(self, account: str, kind: Kind, limit: str) -> float:
        """Count one call; 0, or the seconds until there is room for it."""
        ...


class AccountLimits:
    def __init__(self, counters: Counters) -> None:
        self._counters = counters

    def take(self, account: str, kind: Kind, limit: str) -> float:
        _, limits = limits_of(limit, "account", account, kind)
        windows = self._counters.take(limits)
        return max((max(w.left_s, 0.01) for w in windows if not w.room), default=0.0)
