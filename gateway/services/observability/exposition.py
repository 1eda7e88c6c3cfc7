"""The measurements of all processes of this machine, and the shared state, in Prometheus' words."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import accumulate

from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4, CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from gateway.domain.errors import StorageUnavailable
from gateway.services.observability.ledger import Ledger
from gateway.services.observability.metrics import BOUNDS_S, COUNTERS, Snapshot
from gateway.services.pool.pool import Pool
from gateway.services.pool.views import AccountView
from gateway.storage.records.jobs import JobStore
from gateway.storage.records.notes import Notes

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_FRESH_S = 2.0  # how long what is dear to find out is repeated: anybody may ask for metrics
_LARGEST = {"loop_lag_seconds"}  # of gauges; the others of the processes are added up
_GAUGES = {
    "requests_in_flight": "Requests that are being answered",
    "requests_waiting": "Requests that wait for an account",
    "sessions_open": "Vendor sessions in use",
    "sessions_undeleted": "Vendor sessions whose deletion failed and is tried again",
    "sessions_leaked": "Vendor sessions that were left behind with their caller's own credential",
    "loop_lag_seconds": "Latest turn of an event loop in the last ten seconds",
    "limits_redis_away": "Processes that count limits without Redis, because it does not answer",
}


class Exposition:
    """Tells of nothing that no note does: whichever process is asked next tells of as much."""

    def __init__(
        self,
        ledger: Ledger,
        notes: Notes,
        pool: Pool,
        *,
        jobs: JobStore,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._notes = notes
        self._pool = pool
        self._jobs = jobs
        self._clock = clock
        self._shared: list[Metric] = []
        self._looked_at = -_FRESH_S
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Collected(self._families))

    def render(self) -> bytes:
        return generate_latest(self._registry)

    def _families(self) -> Iterator[Metric]:
        own = Snapshot.load(self._ledger.note())
        total, living = Snapshot(), [own.gauges]
        total.add(own)
        for note in self._notes.others():
            other = Snapshot.load(note.data)
            total.add(other)
            if note.alive:
                living.append(other.gauges)
        yield from _counted(total)
        yield _gauge("workers", "Processes that answer", len(living))
        for name, help_text in _GAUGES.items():
            values = [gauges[name] for gauges in living if name in gauges]
            if values:
                value = max(values) if name in _LARGEST else sum(values)
                yield _gauge(name, help_text, value)
        if self._clock() - self._looked_at >= _FRESH_S:
            self._looked_at = self._clock()
            self._shared = [*_accounts(self._pool.snapshot()), *self._stored()]
        yield from self._shared

    def _stored(self) -> Iterator[Metric]:
        try:
            yield from _counts(self._jobs.counts())
            up = 1
        except StorageUnavailable:
            up = 0
        yield _gauge("database_up", "Whether the database answers", up)


class _Collected(Collector):
    def __init__(self, families: Callable[[], Iterator[Metric]]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        return self._families()


def _counted(total: Snapshot) -> Iterator[Metric]:
    for name, (help_text, labels) in COUNTERS.items():
        family = CounterMetricFamily(f"gateway_{name}", help_text, labels=labels)
        for values, count in total.counters[name].items():
            family.add_metric(values, count)
        yield family
    seconds = HistogramMetricFamily(
        "gateway_request_seconds",
        "From a request's head to the end of its answer",
        labels=["route"],
    )
    for route, numbers in total.durations.items():
        bounds = [*map(str, BOUNDS_S), "+Inf"]
        buckets = list(zip(bounds, accumulate(numbers[:-1]), strict=True))
        seconds.add_metric([route], buckets, numbers[-1])
    yield seconds


def _accounts(views: list[AccountView]) -> Iterator[Metric]:
    """How many accounts are in which state, and by name those that rest."""
    states = GaugeMetricFamily(
        "gateway_accounts", "Accounts by what they can do", labels=["upstream", "state"]
    )
    resting = GaugeMetricFamily(
        "gateway_account_back_seconds",
        "Until an account that rests may be used again",
        labels=["upstream", "account", "reason"],
    )
    for (upstream, state), count in Counter((v.upstream, v.state) for v in views).items():
        states.add_metric([upstream, state], count)
    for view in views:
        if view.returns_in_s > 0:
            resting.add_metric([view.upstream, view.name, view.reason], view.returns_in_s)
    yield states
    yield resting


def _counts(jobs: dict[str, int]) -> Iterator[Metric]:
    moving = GaugeMetricFamily("gateway_jobs_unfinished", "Unfinished jobs", labels=["status"])
    for status, count in jobs.items():
        moving.add_metric([status], count)
    yield moving


def _gauge(name: str, help_text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"gateway_{name}", help_text, value=value)
