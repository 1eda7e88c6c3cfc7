"""Who moves which job: a claim for each job that this process runs, and news for those who wait."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event as Signal
from threading import Lock, Thread

from gateway.domain.accounts import Secret
from gateway.domain.errors import GatewayError, StorageUnavailable
from gateway.domain.jobs import Job
from gateway.runtime.logs import log
from gateway.services.jobs.steps import JobSteps, Moving
from gateway.services.sessions.calm import Calm
from gateway.storage.records.jobs import Claim, ClaimLost, JobStore

_CLAIM_S = 12.0  # renewed every third of it
_AT_ONCE = 50  # abandoned jobs looked at in one sweep
_PATIENCE_S = (0.2, 0.5, 1.0, 2.0)  # before a result is written down again
_SETTLED_S = 0.05


@dataclass(slots=True)
class _Run:
    """A job that this process moves. `news` is set, and replaced, whenever the job changes."""

    job: Job
    news: Signal = field(default_factory=Signal)
    claimed: bool = False

    def publish(self, job: Job) -> None:
        self.job = job
        news, self.news = self.news, Signal()
        news.set()


class JobRunner:
    def __init__(
        self,
        jobs: JobStore,
        steps: JobSteps,
        *,
        ended: Callable[[Job], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._jobs = jobs
        self._steps = steps
        self._ended = ended
        self._runs: dict[str, _Run] = {}
        self._lock = Lock()
        self._stopping = Signal()
        self._quiet = Signal()
        self._after: str | None = None
        self._calm = Calm(_CLAIM_S, clock=clock)

    def start(self, job: Job, credential: Secret | None) -> bool:
        """Move the job in the background, unless another process does."""
        with self._lock:
            if job.id in self._runs or self._stopping.is_set():
                return False
            self._runs[job.id] = _Run(job)
        Thread(target=self._run, args=(job.id, credential), name=job.id, daemon=True).start()
        return True

    def moving(self, job_id: str) -> Job | None:
        """The job's latest state, if this process moves it."""
        run = self._runs.get(job_id)
        return run.job if run is not None and run.claimed else None

    def news(self, job_id: str) -> Signal:
        """To be waited for with a timeout: other processes' news do not come here."""
        run = self._runs.get(job_id)
        return run.news if run is not None else self._quiet

    def publish(self, job: Job) -> None:
        run = self._runs.get(job.id)
        if run is not None:
            run.publish(job)

    def sweep(self) -> int:
        """Take over jobs that nobody moves; returns how many."""
        with self._calm.watched():
            found = self._jobs.claimable(limit=_AT_ONCE, after=self._after)
        if not self._calm:
            return 0
        self._after = found[-1] if len(found) == _AT_ONCE else None
        taken = 0
        for job_id in found:
            job = self._jobs.get(job_id) if job_id not in self._runs else None
            if job is not None and not self._steps.needs_credential(job):
                taken += self.start(job, None)
        return taken

    def stop(self) -> None:
        """Put every job down for another process; returns when all are.

        What a vendor works on under its task id is put down at once; what is being
        submitted, painted or stored is seen through.
        """
        self._stopping.set()
        while self._runs:
            time.sleep(_SETTLED_S)

    def _run(self, job_id: str, credential: Secret | None) -> None:
        run = self._runs[job_id]
        try:
            self._move(run, credential)
        except ClaimLost:
            log.info("job_taken_away", job=job_id)
        except GatewayError as err:
            log.warning("job_put_down", job=job_id, code=err.code, message=err.message)
        finally:
            with self._lock:
                del self._runs[job_id]
            run.news.set()

    def _move(self, run: _Run, credential: Secret | None) -> None:
        """Step by step until the job is done, its claim is lost, or the process stops."""
        with self._jobs.claim(run.job.id, ttl_s=_CLAIM_S) as claim:
            if claim is None:
                return
            moving = Moving(claim.job, lambda job: self._write(run, job, claim, credential))
            run.job, run.claimed = claim.job, True
            with claim.keep_alive():
                tries = 0
                while not (moving.job.done or claim.lost or self._stopping.is_set()):
                    status = moving.job.status
                    self._steps.advance(moving, credential)
                    tries = tries + 1 if moving.job.status == status else 1
                    if not moving.job.done:
                        self._stopping.wait(self._steps.pause_s(moving, tries))

    def _write(self, run: _Run, job: Job, claim: Claim, credential: Secret | None) -> Job:
        try:
            saved = self._save(job, claim)
        except ClaimLost:
            stored = self._jobs.get(job.id)
            if stored is None or stored.status == "cancelled":
                self._steps.cancel(job, credential)  # the vendor had not named the task then
            raise
        run.publish(saved)
        if saved.done:
            self._ended(saved)
        return saved

    def _save(self, job: Job, claim: Claim) -> Job:
        """What a vendor has done for money is written down however long the database is away."""
        tries = 0
        while True:
            try:
                return self._jobs.save(job, claim)
            except StorageUnavailable:
                if job.status in ("queued", "submitting") and not job.result:
                    raise
                time.sleep(_PATIENCE_S[min(tries, len(_PATIENCE_S) - 1)])
                tries += 1
