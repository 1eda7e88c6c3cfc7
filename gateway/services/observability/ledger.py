"""What is remembered of requests and jobs once they have ended: measurements and usage."""

from __future__ import annotations

import time
from threading import Lock

from gateway.domain.events import Usage
from gateway.domain.jobs import Job
from gateway.services.jobs.records import usage_of
from gateway.services.observability.metrics import Metrics
from gateway.services.observability.usage import UsageLog
from gateway.services.routing.dispatch import Trace
from gateway.storage.records.notes import Notes

EVERY_S = 2.0  # how often it is written down
_LAST_S = 30.0  # longer than any drain
_LOOK_S = 0.1


class Ledger:
    """Adding costs no input or output; a periodic task writes."""

    def __init__(self, metrics: Metrics, usage: UsageLog, notes: Notes) -> None:
        self._metrics = metrics
        self._usage = usage
        self._notes = notes
        self._noting = Lock()

    def begin(self) -> None:
        self._metrics.in_flight += 1

    def end(
        self, *, route: str, status: int, seconds: float, owner: str | None, trace: Trace
    ) -> None:
        """Once for every `begin`, when the answer has ended or the caller is gone."""
        self._metrics.in_flight -= 1
        self._metrics.request(route, status, seconds, trace)
        if owner is not None:
            self._usage.request(owner, trace)

    def job_ended(self, job: Job) -> None:
        usage = usage_of(job) if job.status == "completed" else Usage()
        self._metrics.job(job, usage)
        self._usage.job(job, usage)

    def note(self) -> bytes:
        """Leave word of the measurements; returns it as the other processes find it."""
        with self._noting:  # or an older one could replace a newer
            data = self._metrics.snapshot().dump()
            self._notes.write(data)
            return data

    def write(self) -> None:
        """Raises StorageUnavailable, after which nothing is lost."""
        self.note()
        self._usage.flush()

    def close(self) -> None:
        """Write down what the process still finishes before it ends."""
        self.write()
        give_up_at = time.monotonic() + _LAST_S
        while self._metrics.in_flight and time.monotonic() < give_up_at:
            time.sleep(_LOOK_S)
        self.write()
