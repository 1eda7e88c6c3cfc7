"""Prometheus metrics of requests and jobs, added up over the processes of a machine.

Under gunicorn, prometheus_client keeps the values in files of one directory, which
gunicorn.conf.py sets. It takes about 100 function calls for each request, so requests are
added up in plain dictionaries, and in prometheus_client every few seconds and before each
answer. Labels come from closed vocabularies: routes, statuses, upstreams, configured models,
error codes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection

from prometheus_client import (
    CONTENT_TYPE_PLAIN_0_0_4,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from gateway.domain.errors import GatewayError
from gateway.domain.events import Usage
from gateway.domain.jobs import Job
from gateway.domain.money import units
from gateway.services.routing.dispatch import Trace

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
OTHER = "other"
_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    def __init__(self, models: Collection[str], *, directory: str | None = None) -> None:
        self._directory = directory
        self.in_flight = 0
        self._models = frozenset(models)
        self._registry = registry = CollectorRegistry()
        self._watched: list[tuple[Gauge, Callable[[], float]]] = []
        self._counts: defaultdict[tuple[Counter, tuple[str, ...]], float] = defaultdict(int)
        self._durations_s: defaultdict[str, list[float]] = defaultdict(list)  # by route
        self._requests = Counter(
            "gateway_requests",
            "Requests answered",
            ("route", "status", "upstream", "model", "kind"),
            registry=registry,
        )
        self._errors = Counter(
            "gateway_errors", "Error responses to callers", ("code",), registry=registry
        )
        self._retries = Counter(
            "gateway_retries",
            "Calls to vendors after the first one of a request",
            ("upstream",),
            registry=registry,
        )
        self._tokens = Counter(
            "gateway_tokens",
            "Tokens, counted by the vendor or estimated",
            ("upstream", "model", "direction", "counted_by"),
            registry=registry,
        )
        self._media = Counter(
            "gateway_media",
            "Images and videos generated",
            ("upstream", "model", "kind"),
            registry=registry,
        )
        self._cost = Counter(
            "gateway_cost",
            "Cost of calls by the table of prices, in the currency of the budgets",
            ("upstream", "model"),
            registry=registry,
        )
        self._jobs = Counter(
            "gateway_jobs", "Jobs that have ended", ("kind", "status"), registry=registry
        )
        self._seconds = Histogram(
            "gateway_request_seconds",
            "Time from the head of a request to the end of its response",
            ("route",),
            buckets=_BOUNDS_S,
            registry=registry,
        )
        self.watch("requests_in_flight", "Requests being answered", lambda: self.in_flight)
        self._gauge("workers", "Processes that answer requests").set(1)

    def watch(
        self, name: str, help_text: str, read: Callable[[], float], *, largest: bool = False
    ) -> None:
        """Add a gauge that `measure` sets: the sum over the processes, or the largest value."""
        self._watched.append((self._gauge(name, help_text, largest=largest), read))

    def measure(self) -> None:
        """Hand what this process has counted to prometheus_client."""
        for gauge, read in self._watched:
            gauge.set(read())
        counts, self._counts = self._counts, defaultdict(int)
        for (counter, labels), count in counts.items():
            counter.labels(*labels).inc(count)
        durations_s, self._durations_s = self._durations_s, defaultdict(list)
        for route, seconds in durations_s.items():
            histogram = self._seconds.labels(route)
            for each in seconds:
                histogram.observe(each)

    def begin(self) -> None:
        self.in_flight += 1

    def end(self, route: str, status: int, seconds: float, trace: Trace) -> None:
        """Count a request whose response has ended."""
        self.in_flight -= 1
        upstream = trace.upstream or ""
        model = self._model(trace.model)
        kind = trace.kind if model else ""
        self._counts[self._requests, (route, str(status), upstream, model, kind)] += 1
        self._durations_s[route].append(seconds)
        if trace.error is not None:
            self._counts[self._errors, (_code(trace.error),)] += 1
        if trace.attempts > 1:
            self._counts[self._retries, (upstream,)] += trace.attempts - 1
        if trace.job is None and trace.usage is not None:
            self._count_usage(upstream, model, trace.usage, trace.images, trace.videos)

    def job_finished(self, job: Job, usage: Usage) -> None:
        self._counts[self._jobs, (job.kind, job.status)] += 1
        model = self._model(job.model)
        self._count_usage(job.upstream or "", model, usage, usage.images, usage.videos)

    def render(self, shared: Collector) -> bytes:
        """Metrics of all processes of this machine, and those that `shared` collects."""
        self.measure()
        if self._directory is None:
            return generate_latest(self._registry) + generate_latest(_registry_of(shared))
        registry = _registry_of(shared)
        MultiProcessCollector(registry, self._directory)  # type: ignore[no-untyped-call]
        return generate_latest(registry)

    def _gauge(self, name: str, help_text: str, *, largest: bool = False) -> Gauge:
        mode = "livemax" if largest else "livesum"
        return Gauge(
            f"gateway_{name}",
            help_text,
            registry=self._registry,
            multiprocess_mode=mode,  # type: ignore[arg-type]
        )

    def _count_usage(
        self, upstream: str, model: str, usage: Usage, images: int, videos: int
    ) -> None:
        counts, counted_by = self._counts, "estimate" if usage.estimated else "vendor"
        counts[self._tokens, (upstream, model, "prompt", counted_by)] += usage.prompt_tokens
        counts[self._tokens, (upstream, model, "completion", counted_by)] += usage.completion_tokens
        if usage.cost:
            counts[self._cost, (upstream, model)] += units(usage.cost)
        if images:
            counts[self._media, (upstream, model, "image")] += images
        if videos:
            counts[self._media, (upstream, model, "video")] += videos

    def _model(self, name: str) -> str:
        return name if not name or name in self._models else OTHER


def _registry_of(collector: Collector) -> CollectorRegistry:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    return registry


def _code(err: GatewayError) -> str:
    return err.code or OTHER
