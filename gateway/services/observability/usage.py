"""Usage by hour, key, model and account: added up in memory, written every few seconds."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from threading import Lock

from gateway.domain.events import Usage
from gateway.domain.jobs import Job
from gateway.services.routing.dispatch import Trace
from gateway.storage.records.usage import UsageRow, UsageStore

NO_KEY = "(no key)"
OWN_CREDENTIAL = "(own credential)"
OTHER = "(other)"  # ids of models that no vendor knows
_HOUR_S = 3600
_Bucket = tuple[int, str, str, str, str]


class UsageLog:
    """Usage not yet in the database. Ids of models without a row count once they have worked."""

    def __init__(
        self,
        store: UsageStore,
        models: Collection[str],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._store = store
        self._models = frozenset(models)
        self._clock = clock
        self._counts: defaultdict[_Bucket, list[int]] = defaultdict(lambda: [0] * 8)
        self._lock = Lock()

    def add_request(self, owner: str, trace: Trace) -> None:
        """Add a request whose answer has ended; one that began a job is added by the job."""
        if trace.upstream is None or trace.attempts == 0 or trace.job is not None:
            return
        failed = trace.error is not None
        model = self._model(trace.model, worked=not failed)
        usage = trace.usage or Usage()
        self._add(
            (self._hour(), owner_name(owner), model, trace.upstream, trace.account or ""),
            _numbers(usage, failed, trace.images, trace.videos),
        )

    def add_job(self, job: Job, usage: Usage) -> None:
        """Add a job that has ended."""
        model = self._model(job.model, worked=job.status == "completed")
        self._add(
            (self._hour(), owner_name(job.owner), model, job.upstream or "", job.account or ""),
            _numbers(usage, job.status == "failed", usage.images, usage.videos),
        )

    def flush(self) -> None:
        """Add the usage to the database. Raises StorageUnavailable; then the usage is kept."""
        with self._lock:
            counts = dict(self._counts)
            self._counts.clear()
        try:
            self._store.add_many(UsageRow(*bucket, *row) for bucket, row in counts.items())
        except Exception:
            for bucket, row in counts.items():
                self._add(bucket, row)
            raise

    def purge(self, keep_s: float) -> int:
        """Delete the rows older than `keep_s`; returns how many."""
        return self._store.purge(self._clock() - keep_s)

    def _model(self, name: str, *, worked: bool) -> str:
        return name if worked or name in self._models else OTHER

    def _hour(self) -> int:
        return int(self._clock()) // _HOUR_S * _HOUR_S

    def _add(self, bucket: _Bucket, numbers: Sequence[int]) -> None:
        with self._lock:
            row = self._counts[bucket]
            for index, number in enumerate(numbers):
                row[index] += number


def _numbers(usage: Usage, failed: bool, images: int, videos: int) -> tuple[int, ...]:
    """In the order of UsageRow's counters."""
    return (
        *(1, int(failed)),
        *(usage.prompt_tokens, usage.completion_tokens),
        *(images, videos),
        int(usage.estimated),
        usage.cost or 0,
    )


def owner_name(owner: str) -> str:
    """The name of a gateway key, which is all that is shown of a caller."""
    kind, _, name = owner.partition(":")
    return name if kind == "key" else OWN_CREDENTIAL if kind == "own" else NO_KEY
