"""Pictures and videos as jobs: made once, whoever waits for them and for how long.

The synchronous answer, the stream and `respond-async` are three views of one job. A job's
runner holds its claim for as long as its process lives; another process takes an abandoned
job over by the vendor's task id, and never submits it again.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from threading import Event as Signal
from threading import Lock, Thread

from gateway.domain.accounts import Caller, Kind, Secret
from gateway.domain.errors import (
    Conflict,
    InvalidRequest,
    NotFound,
    from_record,
)
from gateway.domain.events import Event, Events, Finish, MediaStored, Progress
from gateway.domain.jobs import Job
from gateway.domain.requests import ImageRequest, VendorCall, VideoRequest
from gateway.services.catalog import Catalog, Model
from gateway.services.dispatch import OWN, Dispatcher, Trace
from gateway.services.job_records import request_record, stored_of, usage_of
from gateway.services.job_steps import JobSteps
from gateway.services.media import MediaService
from gateway.stores.jobs import Claim, ClaimLost, JobStore

Request = ImageRequest | VideoRequest

_LOOK_S = 1.0  # how often a waiting request looks at a job that another process moves
_AT_ONCE = 50  # abandoned jobs taken over in one sweep


class _Run:
    """A job that this process moves: its latest state, and a signal when that changes."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.changed = Signal()


class GenerationService:
    def __init__(
        self,
        catalog: Catalog,
        dispatcher: Dispatcher,
        media: MediaService,
        jobs: JobStore,
        steps: JobSteps,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._catalog = catalog
        self._dispatcher = dispatcher
        self._media = media
        self._jobs = jobs
        self._steps = steps
        self._clock = clock
        self._runs: dict[str, _Run] = {}
        self._lock = Lock()
        self._stopping = Signal()

    # -- for callers -------------------------------------------------------------------

    def create(
        self,
        request: Request,
        caller: Caller,
        trace: Trace,
        *,
        fingerprint: str | None = None,
    ) -> Job:
        """Check the request, write the job down and start it.

        Everything that can be refused is refused here, before the vendor hears of it.
        """
        model, kind = self._model(request, caller)
        self._dispatcher.routes(model, caller)
        job_id = f"{kind}_{uuid.uuid4().hex}"
        with self._media.resolved(request, caller) as resolved:
            record = request_record(resolved, self._media, caller.owner)
        job = self._jobs.create(
            Job(
                id=job_id,
                kind=kind,
                owner=caller.owner,
                model=request.model,
                request=record,
                created_at=self._clock(),
                fingerprint=fingerprint,
            )
        )
        self._media.need(job_id, [*record["images"], *filter(None, [record.get("mask")])])
        trace.job, trace.model, trace.kind = job_id, model.name, kind
        self._start(job, caller.credential)
        return job

    def stream(self, request: Request, caller: Caller, trace: Trace) -> Events:
        """Create the job and yield what becomes of it."""
        job = self.create(request, caller, trace)
        return self.follow(job.id, caller, trace)

    def follow(self, job_id: str, caller: Caller, trace: Trace) -> Events:
        """Yield Progress, each picture or video as it is there, then Usage and Finish.

        Raises the job's own failure. Closing the generator leaves the job alone.
        """
        shown, percent = 0, -1
        while True:
            job = self.get(job_id, caller)
            batch: list[Event] = []
            media = (job.result or {}).get("media", [])
            for entry in media[shown:]:
                stored, cover = stored_of(entry)
                batch.append(MediaStored(entry["kind"], stored, cover))
            shown = len(media)
            if job.done:
                break
            if job.progress != percent:
                percent = job.progress
                batch.append(Progress(percent))
            if batch:
                yield batch
            self._wait(job_id)
        trace.upstream, trace.account = job.upstream, job.account
        trace.attempts = max(trace.attempts, 1)
        if job.status != "completed":
            raise from_record(job.error or {"message": f"The job was {job.status}."})
        usage = usage_of(job)
        trace.usage, trace.images, trace.videos = usage, usage.images, usage.videos
        yield [*batch, usage, Finish("stop")]

    def get(self, job_id: str, caller: Caller) -> Job:
        """Raises NotFound for unknown and foreign jobs alike."""
        run = self._runs.get(job_id)
        job = run.job if run is not None else self._jobs.get_owned(job_id, caller.owner)
        if job is None or job.owner != caller.owner:
            raise NotFound("There is no such job.")
        if run is None and not job.done and caller.credential is not None:
            self._start(job, caller.credential)  # its owner is back with the credential it needs
        return job

    def page(
        self,
        caller: Caller,
        *,
        kinds: tuple[Kind, ...] = (),
        after: str | None = None,
        limit: int = 20,
        order: str = "desc",
    ) -> tuple[list[Job], bool]:
        """One page of the caller's jobs and whether there are more."""
        found = self._jobs.list(
            caller.owner, kinds=kinds, after=after, limit=limit + 1, order=order
        )
        return found[:limit], len(found) > limit

    def cancel(self, job_id: str, caller: Caller) -> Job:
        """Stop the job, at the vendor too where that can be done; Conflict when it is over."""
        job = self.get(job_id, caller)
        if job.done:
            raise Conflict(f"The job is already {job.status}.")
        self._steps.cancel(job, caller.credential)
        cancelled = self._jobs.cancel(job_id, caller.owner)
        if cancelled is None:
            raise Conflict("The job ended before it could be cancelled.")
        self._publish(cancelled)
        return cancelled

    def delete(self, job_id: str, caller: Caller) -> None:
        """Forget an ended job; a running one is cancelled first."""
        if not self.get(job_id, caller).done:
            self.cancel(job_id, caller)
        self._jobs.delete(job_id, caller.owner)

    def plan(self, request: Request, caller: Caller, trace: Trace) -> list[VendorCall]:
        model, kind = self._model(request, caller)
        with self._media.resolved(request, caller) as resolved:
            return self._dispatcher.plan(
                model,
                kind,
                caller,
                trace,
                lambda route, account: (
                    route.upstream.plan_image(replace(resolved, model=route.model), account)
                    if isinstance(resolved, ImageRequest)
                    else route.upstream.plan_video(replace(resolved, model=route.model), account)
                ),
            )

    def _model(self, request: Request, caller: Caller) -> tuple[Model, Kind]:
        kind: Kind = "image" if isinstance(request, ImageRequest) else "video"
        model = self._catalog.find(request.model, caller)
        if model.kind == kind:
            return model, kind
        drawing = tuple(r for r in model.routes if r.upstream.draws_in_chat)
        if kind == "image" and model.kind == "chat" and drawing:
            return replace(model, routes=drawing), kind
        raise InvalidRequest(
            f"{request.model!r} is a {model.kind} model and makes no {kind}s here.", param="model"
        )

    # -- moving jobs -------------------------------------------------------------------

    def sweep(self) -> int:
        """Take over jobs that nobody moves; returns how many."""
        taken = 0
        for job_id in self._jobs.claimable(limit=_AT_ONCE):
            job = self._jobs.get(job_id)
            if job is not None and job.account != OWN and not job.owner.startswith("own:"):
                taken += self._start(job, None)
        return taken

    def stop(self) -> None:
        """Let go of every job, for another process to take over."""
        self._stopping.set()
        for run in list(self._runs.values()):
            run.changed.set()

    def _start(self, job: Job, credential: Secret | None) -> bool:
        with self._lock:
            if job.id in self._runs or self._stopping.is_set():
                return False
            self._runs[job.id] = _Run(job)
        Thread(target=self._run, args=(job.id, credential), daemon=True).start()
        return True

    def _run(self, job_id: str, credential: Secret | None) -> None:
        try:
            self._steps.guard(lambda: self._move(job_id, credential))
        finally:
            with self._lock:
                run = self._runs.pop(job_id)
            run.changed.set()

    def _move(self, job_id: str, credential: Secret | None) -> None:
        """Step by step until the job is done, its claim is lost, or the process stops."""
        with self._jobs.claim(job_id) as claim:
            job = self._jobs.get(job_id) if claim is not None else None
            if claim is None or job is None:
                return
            with claim.keep_alive():
                tries = 0
                while not job.done and not self._stopping.is_set():
                    for step in self._steps.advance(job, credential):
                        tries = 0 if step.status != job.status else tries
                        job = self._save(step, claim, credential)
                        self._publish(job)
                    if not job.done:
                        tries += 1
                        self._stopping.wait(self._steps.pause_s(job, tries))

    def _save(self, job: Job, claim: Claim, credential: Secret | None) -> Job:
        try:
            return self._jobs.save(job, claim)
        except ClaimLost:
            if job.status == "in_progress":  # cancelled while the vendor was accepting it
                self._steps.cancel(job, credential)
            raise

    def _publish(self, job: Job) -> None:
        run = self._runs.get(job.id)
        if run is not None:
            run.job = job
            run.changed.set()

    def _wait(self, job_id: str) -> None:
        run = self._runs.get(job_id)
        if run is None:
            time.sleep(_LOOK_S)
        else:
            run.changed.wait(_LOOK_S)
            run.changed.clear()
