"""What this process has counted, as plain numbers: cheap to add to, easy to add up.

Labels come from closed vocabularies: routes, statuses, upstreams, configured models, codes.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import orjson

from gateway.domain.errors import GatewayError
from gateway.domain.events import Usage
from gateway.domain.jobs import Job
from gateway.services.routing.dispatch import Trace

OTHER = "other"
BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)

# counter -> (what it counts, its labels)
COUNTERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "requests": ("Requests answered", ("route", "status", "upstream", "model", "kind")),
    "errors": ("Errors told to callers", ("code",)),
    "retries": ("Calls to vendors after the first of a request", ("upstream",)),
    "tokens": (
        "Tokens, by the vendor's count or by estimate",
        ("upstream", "model", "direction", "counted_by"),
    ),
    "media": ("Pictures and videos made", ("upstream", "model", "kind")),
    "jobs": ("Jobs that ended", ("kind", "status")),
}
_Counter = defaultdict[tuple[str, ...], float]


@dataclass(slots=True)
class Snapshot:
    """Counters by name and labels; durations by route: one number a bucket, then their sum."""

    counters: dict[str, _Counter] = field(
        default_factory=lambda: {name: defaultdict(float) for name in COUNTERS}
    )
    durations: defaultdict[str, list[float]] = field(
        default_factory=lambda: defaultdict(lambda: [0.0] * (len(BOUNDS_S) + 2))
    )
    gauges: dict[str, float] = field(default_factory=dict)

    def add(self, other: Snapshot) -> None:
        for name, counter in other.counters.items():
            mine = self.counters[name]
            for labels, value in counter.items():
                mine[labels] += value
        for route, buckets in other.durations.items():
            self.durations[route] = [
                a + b for a, b in zip(self.durations[route], buckets, strict=True)
            ]

    def dump(self) -> bytes:
        counters = {name: list(counter.items()) for name, counter in self.counters.items()}
        return orjson.dumps([counters, self.durations, self.gauges])

    @classmethod
    def load(cls, data: bytes) -> Snapshot:
        counters, durations, gauges = orjson.loads(data)
        found = cls(gauges=gauges)
        for name, items in counters.items():
            found.counters[name].update((tuple(labels), value) for labels, value in items)
        found.durations.update(durations)
        return found


class Metrics:
    """`gauges` are asked for when somebody wants to know; the rest is added to as it happens."""

    def __init__(self, models: Collection[str], gauges: Mapping[str, Callable[[], float]]) -> None:
        self.in_flight = 0
        self._models = frozenset(models)
        self._gauges = gauges
        self._counted = Snapshot()

    def request(self, route: str, status: int, seconds: float, trace: Trace) -> None:
        """Count a request whose answer has ended."""
        counters = self._counted.counters
        upstream = trace.upstream or ""
        model = self._model(trace.model)
        kind = trace.kind if model else ""
        counters["requests"][route, str(status), upstream, model, kind] += 1
        durations = self._counted.durations[route]
        durations[bisect_left(BOUNDS_S, seconds)] += 1
        durations[-1] += seconds
        if trace.error is not None:
            counters["errors"][(_code(trace.error),)] += 1
        if trace.attempts > 1:
            counters["retries"][(upstream,)] += trace.attempts - 1
        if trace.job is None and trace.usage is not None:
            self._spent(upstream, model, trace.usage, trace.images, trace.videos)

    def job(self, job: Job, usage: Usage) -> None:
        """Count a job that has ended."""
        self._counted.counters["jobs"][job.kind, job.status] += 1
        model = self._model(job.model)
        self._spent(job.upstream or "", model, usage, usage.images, usage.videos)

    def snapshot(self) -> Snapshot:
        self._counted.gauges = {name: read() for name, read in self._gauges.items()}
        self._counted.gauges["requests_in_flight"] = self.in_flight
        return self._counted

    def _spent(self, upstream: str, model: str, usage: Usage, images: int, videos: int) -> None:
        tokens, media = self._counted.counters["tokens"], self._counted.counters["media"]
        counted_by = "estimate" if usage.estimated else "vendor"
        tokens[upstream, model, "prompt", counted_by] += usage.prompt_tokens
        tokens[upstream, model, "completion", counted_by] += usage.completion_tokens
        if images:
            media[upstream, model, "image"] += images
        if videos:
            media[upstream, model, "video"] += videos

    def _model(self, name: str) -> str:
        return name if not name or name in self._models else OTHER


def _code(err: GatewayError) -> str:
    return err.code or OTHER
