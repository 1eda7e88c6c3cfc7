"""Prometheus collector of the state that all processes share: accounts, jobs, database."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.domain.errors import StorageUnavailable
from gateway.services.pool.pool import Pool
from gateway.services.pool.views import AccountView
from gateway.storage.records.jobs import JobStore

_KEEP_S = 2.0  # anybody may ask for metrics


class SharedStateCollector(Collector):
    def __init__(
        self, pool: Pool, jobs: JobStore, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._pool = pool
        self._jobs = jobs
        self._clock = clock
        self._collected: list[Metric] = []
        self._collected_at = -_KEEP_S

    def collect(self) -> Iterable[Metric]:
        if self._clock() - self._collected_at >= _KEEP_S:
            self._collected_at = self._clock()
            self._collected = [*_accounts(self._pool.snapshot()), *self._stored()]
        return self._collected

    def _stored(self) -> Iterable[Metric]:
        try:
            yield _unfinished(self._jobs.counts())
            up = 1
        except StorageUnavailable:
            up = 0
        yield GaugeMetricFamily("gateway_database_up", "1 while the database answers", value=up)


def _accounts(views: list[AccountView]) -> Iterable[Metric]:
    states = GaugeMetricFamily(
        "gateway_accounts", "Accounts by state", labels=["upstream", "state"]
    )
    returns = GaugeMetricFamily(
        "gateway_account_back_seconds",
        "Time until an account that is cooling down or ejected returns",
        labels=["upstream", "account", "reason"],
    )
    for (upstream, state), count in Counter((v.upstream, v.state) for v in views).items():
        states.add_metric([upstream, state], count)
    for view in views:
        if view.returns_in_s > 0:
            returns.add_metric([view.upstream, view.name, view.reason], view.returns_in_s)
    return states, returns


def _unfinished(jobs: Mapping[str, int]) -> Metric:
    family = GaugeMetricFamily("gateway_jobs_unfinished", "Unfinished jobs", labels=["status"])
    for status, count in jobs.items():
        family.add_metric([status], count)
    return family
