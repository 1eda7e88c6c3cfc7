"""Runner of the jobs that this process has claimed, and news of them for waiting requests."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from threading import Event as Signal
from threading import Lock, Thread

from gateway.domain.accounts import Secret
from gateway.domain.errors import GatewayError, StorageUnavailable
from gateway.domain.events import ImageDraft
from gateway.domain.jobs import Job
from gateway.runtime.logs import log
from gateway.services.jobs.progress import JobProgress, Prepared
from gateway.services.jobs.prompts import without_prompt
from gateway.services.jobs.steps import JobSteps
from gateway.storage.records.jobs import ClaimLost, JobStore

_AT_ONCE = 50  # abandoned jobs looked at in one sweep
_SAVE_RETRY_S = (0.2, 0.5, 1.0, 2.0)
_STOP_POLL_S = 0.05


@dataclass(slots=True)
class _Run:
    """A job that this process works on. `changed` is set, and replaced, whenever it changes."""

    job: Job
    changed: Signal = field(default_factory=Signal)
    claimed: bool = False
    drafts: list[ImageDraft] = field(default_factory=list)

    def publish(self, job: Job) -> None:
        self.job = job
        changed, self.changed = self.changed, Signal()
        changed.set()


class JobRunner:
    def __init__(
        self,
        jobs: JobStore,
        steps: JobSteps,
        *,
        on_changed: Callable[[Job], object],
        on_finished: Callable[[Job], object],
    ) -> None:
        self._jobs = jobs
        self._steps = steps
        self._on_changed = on_changed
        self._on_finished = on_finished
        self._runs: dict[str, _Run] = {}
        self._lock = Lock()
        self._stopping = Signal()
        self._unchanged = Signal()
        self._after: str | None = None

    def start(self, job: Job, credential: Secret | None, prepared: Prepared | None = None) -> bool:
        """Work on the job in the background, unless this process does so already or stops.

        With `prepared` the job is one that this process has just created and claimed; it is
        released when it ends, and `prepared` closed.
        """
        with self._lock:
            started = job.id not in self._runs and not self._stopping.is_set()
            if started:
                self._runs[job.id] = _Run(job)
        if started:
            arguments = (job.id, credential, prepared)
            Thread(target=self._run, args=arguments, name=job.id, daemon=True).start()
        elif prepared is not None:
            prepared.close()
            self._jobs.release(job.id)
        return started

    def latest(self, job_id: str) -> Job | None:
        """The job's latest state, if this process works on it."""
        run = self._runs.get(job_id)
        return run.job if run is not None and run.claimed else None

    def changed(self, job_id: str) -> Signal:
        """Set when the job changes; wait with a timeout: others' changes do not set it."""
        run = self._runs.get(job_id)
        return run.changed if run is not None else self._unchanged

    def drafts(self, job_id: str) -> list[ImageDraft] | None:
        """The drafts of the image that this process has seen, to which more may come."""
        run = self._runs.get(job_id)
        return run.drafts if run is not None else None

    def publish(self, job: Job) -> None:
        run = self._runs.get(job.id)
        if run is not None:
            run.publish(job)

    def sweep(self) -> int:
        """Take over jobs that no living process works on; returns how many."""
        found = self._jobs.claimable(limit=_AT_ONCE, after=self._after)
        self._after = found[-1] if len(found) == _AT_ONCE else None
        taken = 0
        for job_id in found:
            job = self._jobs.get(job_id) if job_id not in self._runs else None
            if job is not None and not self._steps.needs_credential(job):
                taken += self.start(job, None)
        return taken

    def stop(self) -> None:
        """Release every job for another process; returns when all are.

        A job that a vendor works on under its task id is released at once; one that is being
        submitted, generated or stored is finished first.
        """
        self._stopping.set()
        while self._runs:
            time.sleep(_STOP_POLL_S)

    def _run(self, job_id: str, credential: Secret | None, prepared: Prepared | None) -> None:
        run = self._runs[job_id]
        try:
            with ExitStack() as stack:
                created = None if prepared is None else run.job
                if prepared is not None:
                    stack.callback(prepared.close)
                job = stack.enter_context(self._jobs.claim(job_id, created=created))
                if job is not None:
                    run.job, run.claimed = job, True
                    self._work(run, credential, prepared)
        except ClaimLost:
            log.info("job_claim_lost", job=job_id)
        except GatewayError as err:
            log.warning("job_released", job=job_id, code=err.code, message=err.message)
        finally:
            with self._lock:
                del self._runs[job_id]
            run.changed.set()

    def _work(self, run: _Run, credential: Secret | None, prepared: Prepared | None) -> None:
        """Step by step until the job is done, its claim is lost, or the process stops."""

        def show(draft: ImageDraft) -> None:
            run.drafts.append(draft)
            run.publish(run.job)

        def write(job: Job) -> Job:
            return self._write(run, job, credential)

        progress = JobProgress(run.job, write, prepared, show)
        tries = 0
        while not (progress.job.done or run.job.done):
            if self._stopping.wait(self._steps.query_in_s(progress.job)):
                return
            status = progress.job.status
            self._steps.advance(progress, credential)
            tries = tries + 1 if progress.job.status == status else 1
            if not progress.job.done and self._stopping.wait(self._steps.pause_s(progress, tries)):
                return

    def _write(self, run: _Run, job: Job, credential: Secret | None) -> Job:
        try:
            saved = self._save(job)
        except ClaimLost:
            stored = self._jobs.get(job.id)
            if stored is None or stored.status == "cancelled":
                self._steps.cancel(job, credential)  # the vendor had not named the task then
            raise
        before = run.job.status
        run.publish(saved)
        if saved.status != before:
            self._on_changed(saved)
        if saved.done:
            self._on_finished(saved)
        return saved

    def _save(self, job: Job) -> Job:
        """Save the job; one that a vendor may have been paid for, through every outage."""
        tries = 0
        if job.done:
            job = without_prompt(job)
        while True:
            try:
                return self._jobs.save(job)
            except StorageUnavailable:
                if job.status in ("queued", "submitting") and not job.result:
                    raise
                time.sleep(_SAVE_RETRY_S[min(tries, len(_SAVE_RETRY_S) - 1)])
                tries += 1
