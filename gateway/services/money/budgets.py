"""Budgets: a call reserves the most it may cost, and settles by what the vendor counted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial

from gateway.domain.accounts import Caller
from gateway.domain.errors import StorageUnavailable
from gateway.domain.jobs import Job
from gateway.domain.money import Budget, CostRange
from gateway.runtime.interruption import shielded
from gateway.services.access.keys import KeyRing
from gateway.services.jobs.records import usage_of
from gateway.services.money.prices import PriceTable, Request
from gateway.services.routing.catalog import Route
from gateway.services.routing.dispatch import Trace
from gateway.storage.db.engine import Write
from gateway.storage.records.budgets import BudgetStore, Share, Spending
from gateway.storage.records.jobs import JobStore

_KEEP_S = 62 * 86400.0  # reservations whose outcome nobody learns
WHOLE = "all"


class Budgets:
    """Calls with a caller's own credential are not the gateway's to pay."""

    def __init__(
        self,
        store: BudgetStore,
        jobs: JobStore,
        keys: KeyRing,
        prices: PriceTable,
        whole: Budget,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._jobs = jobs
        self._keys = keys
        self._prices = prices
        self._whole = whole
        self._clock = clock
        self._unsettled: dict[str, int] = {}

    def shares(self, caller: Caller) -> list[Share]:
        """The budgets that a call counts towards, each in its present period."""
        if caller.credential is not None:
            return []
        budgets = [(WHOLE, self._whole)]
        if (key := caller.key) is not None:
            budgets.append((f"key:{key.name}", key.budget))
            if key.team is not None:
                budgets.append((f"team:{key.team}", self._keys.team(key.team)))
        periods = self._periods()
        return [
            Share(name, period, limit)
            for name, budget in budgets
            for span, period in periods.items()
            if (limit := getattr(budget, span)) is not None
        ]

    def range(self, routes: Iterable[Route], request: Request) -> CostRange:
        """Bounds of what a request may cost."""
        return self._prices.range(routes, request)

    @contextmanager
    def reserved(
        self, caller: Caller, trace: Trace, routes: Iterable[Route], request: Request
    ) -> Iterator[None]:
        """Hold the most that the call may cost, and settle by the trace's usage at the end.

        Raises BudgetExceeded, StorageUnavailable.
        """
        shares = self.shares(caller)
        if not shares:
            yield
            return
        id_, most = f"call_{trace.request_id}_{self._clock():.6f}", 0
        try:
            with shielded():
                most = self._prices.range(routes, request).high
                trace.budget_left = self._store.reserve(id_, most, shares)
            yield
        finally:
            cost = (trace.usage.cost if trace.usage is not None else None) or 0
            if trace.budget_left is not None:
                trace.budget_left += most - cost
                with shielded():
                    self._settle(id_, cost)

    def for_job(
        self, job_id: str, caller: Caller, routes: Iterable[Route], request: Request
    ) -> list[Write]:
        """What reserves for a job, to be written together with it."""
        shares = self.shares(caller)
        if not shares:
            return []
        most = self._prices.range(routes, request).high
        return [partial(self._store.reserve_with, id_=job_id, amount=most, shares=shares)]

    def job_finished(self, job: Job) -> None:
        """Settle a job's reservation; one whose outcome is unknown keeps it."""
        if job.owner.startswith("own:") or _may_be_billed(job):
            return
        self._settle(job.id, usage_of(job).cost or 0 if job.status == "completed" else 0)

    def sweep(self) -> None:
        """Settle what could not be settled before, also for processes that died."""
        for id_, cost in list(self._unsettled.items()):
            self._store.settle(id_, cost)
            del self._unsettled[id_]
        for job_id in self._store.of_ended_jobs():
            if (job := self._jobs.get(job_id)) is not None:
                self.job_finished(job)
        self._store.purge(self._clock() - _KEEP_S)

    def spent(self, shares: Iterable[Share]) -> list[tuple[Share, Spending]]:
        """What is spent and reserved of each budget."""
        shares = list(shares)
        found = self._store.spent([(share.budget, share.period) for share in shares])
        return [
            (share, found.get(share[:2], Spending(share.budget, share.period, 0, 0)))
            for share in shares
        ]

    def now(self, budget: str) -> dict[str, Spending]:
        """What is spent and reserved of a budget (`key:NAME`, `team:NAME`, `all`), by span."""
        periods = self._periods()
        found = self._store.spent([(budget, period) for period in periods.values()])
        return {
            span: found.get((budget, period), Spending(budget, period, 0, 0))
            for span, period in periods.items()
        }

    def _periods(self) -> dict[str, str]:
        """The present day and month (UTC)."""
        now = datetime.fromtimestamp(self._clock(), UTC)
        return {"day": f"{now:%Y-%m-%d}", "month": f"{now:%Y-%m}"}

    def _settle(self, id_: str, cost: int) -> None:
        try:
            self._store.settle(id_, cost)
        except StorageUnavailable:
            self._unsettled[id_] = cost


def _may_be_billed(job: Job) -> bool:
    """True if nobody knows whether the vendor bills the job."""
    if job.status == "cancelled":
        return job.account is not None
    return (job.error or {}).get("code") == "outcome_unknown"
