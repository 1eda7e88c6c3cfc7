"""Weighted power of two choices among the accounts that can serve a model."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Callable, Sequence
from itertools import accumulate
from math import ceil, inf
from typing import NamedTuple

from gateway.domain.accounts import Kind
from gateway.services.pool.affinity import Affinity
from gateway.services.pool.pooled_account import LeaseRequest, PooledAccount

Random = Callable[[], float]
_SCANNED = 16  # accounts up to which looking at each is cheaper than drawing
_MAX_SAMPLES = 32
_MAX_LOAD = 1.25  # of the mean, up to which a conversation keeps its account


class Availability(NamedTuple):
    """State of a request's accounts, none of which can be lent now."""

    soonest_at: float = inf  # return of the first one by the clock
    soonest: PooledAccount | None = None
    busy: bool = False  # the end of a call frees one
    rejected: bool = False  # the vendor refuses every credential, be it for this model
    not_available: bool = False  # some because the model is not open to their account


class Candidates:
    """Enabled accounts that may serve a model."""

    __slots__ = ("_affinity", "_availability", "_cumulative", "_total", "accounts")

    def __init__(self, accounts: Sequence[PooledAccount]) -> None:
        self.accounts = accounts
        self._cumulative = list(accumulate(found.account.weight for found in accounts))
        self._total = self._cumulative[-1] if accounts else 0
        self._affinity: Affinity | None = None
        self._availability: dict[tuple[Kind, str], tuple[int, Availability]] = {}

    def choose(
        self, request: LeaseRequest, now: float, random: Random, changes: int, load: float
    ) -> PooledAccount | None:
        """The account to lend next; None where none is usable.

        A conversation's own account unless it is loaded above 1.25 times the mean `load`,
        which is the upstream's calls in flight by weight; else the less loaded of two usable
        accounts that are drawn by weight.
        """
        known = self._availability.get((request.kind, request.model))
        if known is not None and known[0] == changes and known[1].soonest_at > now:
            return None
        if request.conversation:
            if self._affinity is None:
                self._affinity = Affinity(self.accounts)
            for pooled in self._affinity.ranked(request.conversation):
                most = ceil(_MAX_LOAD * load * pooled.account.weight)
                if pooled.in_flight < most and pooled.usable(now, request):
                    return pooled
        return self._draw(request, now, random)

    def _draw(self, request: LeaseRequest, now: float, random: Random) -> PooledAccount | None:
        if len(self.accounts) > _SCANNED:
            first: PooledAccount | None = None
            for _ in range(_MAX_SAMPLES):
                candidate = self.accounts[bisect(self._cumulative, random() * self._total)]
                if candidate is first or not candidate.usable(now, request):
                    continue
                if first is not None:
                    return candidate if candidate.load < first.load else first
                first = candidate
            if first is not None:
                return first
        usable = [found for found in self.accounts if found.usable(now, request)]
        if len(usable) < 2:
            return usable[0] if usable else None
        first = _weighted(usable, random)
        usable.remove(first)
        second = _weighted(usable, random)
        return second if second.load < first.load else first

    def availability(self, request: LeaseRequest, changes: int) -> Availability:
        """Summary of accounts that cannot be lent, computed once per `changes` of the pool."""
        if request.skip or request.lacks_room:
            return self._summary(request)
        known = self._availability.get((request.kind, request.model))
        if known is not None and known[0] == changes:
            return known[1]
        if len(self._availability) >= _SCANNED:  # callers may name any model
            self._availability.clear()
        found = self._summary(request)
        self._availability[request.kind, request.model] = changes, found
        return found

    def _summary(self, request: LeaseRequest) -> Availability:
        kind, model = request.kind, request.model
        soonest_at, soonest = inf, None
        busy, not_available = False, False
        rejected = bool(self.accounts)
        for found in self.accounts:
            block = found.health.models.get(model)
            rejected = rejected and (
                found.health.rejected or (block is not None and block.reason != "quota")
            )
            not_available = not_available or (block is not None and block.reason == "not_available")
            if found.name in request.skip or found.name in request.lacks_room:
                continue
            at = found.available_at(kind, model)
            busy = busy or at == inf
            if at < soonest_at:
                soonest_at, soonest = at, found
        return Availability(soonest_at, soonest, busy, rejected, not_available)


def _weighted(accounts: Sequence[PooledAccount], random: Random) -> PooledAccount:
    left = random() * sum(found.account.weight for found in accounts)
    for found in accounts:
        left -= found.account.weight
        if left < 0:
            return found
    return accounts[-1]
