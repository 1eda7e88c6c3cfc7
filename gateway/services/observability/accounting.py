"""Accounting of requests and jobs that have ended: metrics and usage."""

from __future__ import annotations

import time

from gateway.domain.events import Usage
from gateway.domain.jobs import Job
from gateway.services.jobs.records import usage_of
from gateway.services.money.budgets import Budgets
from gateway.services.observability.metrics import Metrics
from gateway.services.observability.recent import RecentRequests
from gateway.services.observability.usage import UsageLog
from gateway.services.routing.dispatch import Trace

WRITE_EVERY_S = 2.0
_LONGEST_DRAIN_S = 30.0
_POLL_S = 0.1


class Accounting:
    """Adding costs no input or output; a periodic task writes usage to the database."""

    def __init__(
        self, metrics: Metrics, usage: UsageLog, budgets: Budgets, recent: RecentRequests
    ) -> None:
        self._recent = recent
        self._budgets = budgets
        self._metrics = metrics
        self._usage = usage

    def begin(self) -> None:
        self._metrics.begin()

    def end(
        self,
        *,
        route: str,
        method: str,
        path: str,
        status: int,
        seconds: float,
        first_byte_s: float | None,
        owner: str | None,
        trace: Trace,
    ) -> None:
        """Count a request once its response has ended or its client is gone."""
        self._metrics.end(route, status, seconds, trace)
        if owner is not None:
            self._usage.add_request(owner, trace)
            self._recent.add(owner, method, path, status, seconds, first_byte_s, trace)

    def job_finished(self, job: Job) -> None:
        usage = usage_of(job) if job.status == "completed" else Usage()
        self._metrics.job_finished(job, usage)
        self._usage.add_job(job, usage)
        self._budgets.job_finished(job)

    def write(self) -> None:
        """Raises StorageUnavailable, after which nothing is lost."""
        self._metrics.measure()
        self._usage.flush()
        self._recent.flush()

    def close(self) -> None:
        """Write the usage of requests that still end while the process drains."""
        self.write()
        deadline = time.monotonic() + _LONGEST_DRAIN_S
        while self._metrics.in_flight and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        self.write()
