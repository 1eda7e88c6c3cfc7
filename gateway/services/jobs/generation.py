"""Images and videos as jobs: made once, whoever waits for them and for how long.

The synchronous answer, the stream and `respond-async` are three views of one job. A process
claims the job for as long as it lives; another process then takes the job over by the vendor's
task id, and never submits it again.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace

from gateway.domain.accounts import Account, Caller, Kind
from gateway.domain.errors import (
    Conflict,
    InvalidRequest,
    NotFound,
    ShuttingDown,
    StorageUnavailable,
    UnsupportedMediaType,
    from_record,
)
from gateway.domain.events import Event, Events, Finish, ImageDraft, MediaStored, Progress
from gateway.domain.jobs import Job, Status
from gateway.domain.media import Media, MediaRef
from gateway.domain.requests import ImageRequest, VendorCall, VideoRequest
from gateway.runtime.interruption import draining, shielded
from gateway.services.jobs.abilities import able_routes, name_able_models
from gateway.services.jobs.earlier import with_earlier_jobs
from gateway.services.jobs.progress import Prepared
from gateway.services.jobs.prompts import Prompts
from gateway.services.jobs.records import request_of, request_record, stored_of, usage_of
from gateway.services.jobs.runner import JobRunner
from gateway.services.jobs.steps import JobSteps
from gateway.services.media.attachments import adapted, attachments
from gateway.services.media.media import MediaService
from gateway.services.money.budgets import Budgets
from gateway.services.routing.catalog import Catalog, Model, Route
from gateway.services.routing.dispatch import Dispatcher, Trace
from gateway.storage.records.files import TEMPORARY_KEEP_S
from gateway.storage.records.jobs import JobStore
from gateway.upstreams.base import image_upstream, video_upstream

Request = ImageRequest | VideoRequest

_LOOK_S = 1.0  # how often a waiting request looks at a job that another process moves
_JUST_FINISHED_S = 60.0  # for so long a repeated request is taken for the one that made the job


class GenerationService:
    """Image and video jobs.

    `on_changed` is called with each new state of a job, `on_finished` with its last one, in
    the process that made it so.
    """

    def __init__(
        self,
        catalog: Catalog,
        dispatcher: Dispatcher,
        media: MediaService,
        jobs: JobStore,
        steps: JobSteps,
        budgets: Budgets,
        prompts: Prompts,
        *,
        on_changed: Callable[[Job], object] = lambda job: None,
        on_finished: Callable[[Job], object] = lambda job: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._catalog = catalog
        self._dispatcher = dispatcher
        self._media = media
        self._jobs = jobs
        self._steps = steps
        self._budgets = budgets
        self._prompts = prompts
        self._on_changed = on_changed
        self._on_finished = on_finished
        self._clock = clock
        self.runner = JobRunner(jobs, steps, on_changed=on_changed, on_finished=on_finished)

    def create(self, request: Request, caller: Caller, trace: Trace) -> Job:
        """Check the request, write the job down and start it.

        Everything that can be refused is refused here, before the vendor hears of it.
        """
        if draining() and caller.credential is not None:  # which no other process has
            raise ShuttingDown("The server is restarting; send the request again.", retry_after=1)
        model, kind = self._model(request, caller)
        job_id = f"{kind}_{uuid.uuid4().hex}"
        with ExitStack() as attachments:
            resolved = attachments.enter_context(self._resolved(request, caller))
            routes = self._able(model, resolved, caller).routes
            record = request_record(resolved, self._media, caller)
            trace.model, trace.kind = model.name, kind
            job = Job(
                id=job_id,
                kind=kind,
                owner=caller.owner,
                model=request.model,
                request=record,
                created_at=self._clock(),
                fingerprint=trace.fingerprint() if trace.fingerprint else None,
            )
            stored = [*record["images"], *filter(None, [record.get("mask")])]
            along = [self._media.need(job_id, stored)]
            along += self._budgets.for_job(job_id, caller, routes, resolved)
            if trace.on_job is not None:
                along.append(trace.on_job(job_id))
            with shielded():  # a job that is saved is also known and started
                self._jobs.create(job, along, claimed=True)
                self._prompts.keep(job, caller)
                trace.job = job_id
                self._on_changed(job)
                prepared = Prepared(resolved, attachments.pop_all().close)
                self.runner.start(job, caller.credential, prepared)
        return job

    def stream(self, request: Request, caller: Caller, trace: Trace) -> Events:
        """Create the job and yield what becomes of it."""
        job = self.create(request, caller, trace)
        return self.follow(job.id, caller, trace)

    def equal(self, fingerprint: str, caller: Caller) -> Job | None:
        """The job that the same request has made just now; not one that never reached a vendor."""
        since = self._clock() - _JUST_FINISHED_S
        job = self._jobs.find_running(caller.owner, fingerprint, finished_after=since)
        return None if job is None or refused(job) else job

    def follow(self, job_id: str, caller: Caller, trace: Trace) -> Events:
        """Yield Progress, each picture or video as it is there, then Usage and Finish.

        Nothing comes before the vendor has the job. Raises the job's own failure. Closing
        the generator leaves the job alone.
        """
        shown, percent = 0, -1
        drafts: list[ImageDraft] = []
        drafted = 0
        job = self.get(job_id, caller)
        trace.job = job_id
        while True:
            changed = self.runner.changed(job_id)
            job = self._latest(job, caller)
            drafts = self.runner.drafts(job_id) or drafts
            batch: list[Event] = [*drafts[drafted:]]
            drafted = len(drafts)
            media = (job.result or {}).get("media", [])
            for entry in media[shown:]:
                stored, cover = stored_of(entry)
                batch.append(MediaStored(entry["kind"], stored, cover))
            shown = len(media)
            if job.done:
                break
            if job.status == "storing" and job.error is not None:
                raise from_record(job.error)
            if job.progress != percent and job.status in ("in_progress", "storing"):
                percent = job.progress
                batch.append(Progress(percent))
            if batch:
                self._record_route(job, trace)
                yield batch
            changed.wait(_LOOK_S)
        self._record_route(job, trace)
        if job.status != "completed":
            raise from_record(job.error or {"message": f"The job was {job.status}."})
        usage = usage_of(job)
        trace.usage, trace.images, trace.videos = usage, usage.images, usage.videos
        yield [*batch, usage, Finish("stop")]

    def _record_route(self, job: Job, trace: Trace) -> None:
        """Record the job's upstream and account in the trace, once a vendor has the job."""
        if job.upstream is None or trace.upstream is not None:
            return
        trace.upstream, trace.account = job.upstream, job.account
        trace.attempts = max(trace.attempts, 1)
        with suppress(InvalidRequest):  # of a model that is configured no more
            for route in self._catalog.find(job.model, Caller(job.owner)).routes:
                if route.upstream.name == job.upstream:
                    _adapted_for(trace, request_of(job), route)

    def _latest(self, job: Job, caller: Caller) -> Job:
        """The job's state; while the database is away, the one last seen."""
        if (latest := self.runner.latest(job.id)) is not None:
            return latest
        with suppress(StorageUnavailable):
            return self.get(job.id, caller)
        return job

    def get(self, job_id: str, caller: Caller) -> Job:
        """Raises NotFound for unknown and foreign jobs alike."""
        job = self._jobs.get_owned(job_id, caller.owner)
        if job is None:
            raise NotFound("There is no such job.")
        if not job.done and caller.credential is not None:
            self.runner.start(job, caller.credential)  # its owner is back with what it needs
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

    def newest(self, limit: int) -> Sequence[Job]:
        """The newest jobs of all owners, for operators."""
        return self._jobs.newest(limit, unfinished=False)

    def search(
        self,
        caller: Caller,
        *,
        kind: Kind,
        statuses: Collection[Status] | None,
        model: str | None,
        ids: Collection[str] | None,
        offset: int,
        limit: int,
    ) -> tuple[Sequence[Job], int]:
        """One page of the caller's jobs that match, the newest first, and how many match."""
        return self._jobs.search(
            caller.owner,
            kind=kind,
            statuses=statuses,
            model=model,
            ids=ids,
            offset=offset,
            limit=limit,
        )

    def cancel(self, job_id: str, caller: Caller) -> Job:
        """Stop the job, at the vendor too where that can be done; Conflict when it is over."""
        job = self.get(job_id, caller)
        with shielded():  # who gives a film up may leave, but the vendor must hear of it
            cancelled = self._jobs.cancel(job_id, caller.owner)
            if cancelled is None:
                job = self.get(job_id, caller)
                raise Conflict(f"The job is already {job.status}.")
            self.runner.publish(cancelled)
            self._on_changed(cancelled)
            self._on_finished(cancelled)
            self._steps.cancel(cancelled, caller.credential)
        return cancelled

    def delete(self, job_id: str, caller: Caller) -> None:
        """Forget an ended job; a running one is cancelled first."""
        if not self.get(job_id, caller).done:
            with suppress(Conflict):  # it has just ended
                self.cancel(job_id, caller)
        self._jobs.delete(job_id, caller.owner)

    def plan(self, request: Request, caller: Caller, trace: Trace) -> list[VendorCall]:
        model, kind = self._model(request, caller)
        with self._resolved(request, caller) as resolved:
            model = self._able(model, resolved, caller)

            def call(route: Route, account: Account) -> list[VendorCall]:
                _adapted_for(trace, resolved, route)
                trace.cost_range = self._budgets.range([route], resolved)
                wanted = adapted(resolved, route)
                if isinstance(wanted, ImageRequest):
                    return image_upstream(route.upstream).plan_image(wanted, account)
                return video_upstream(route.upstream).plan_video(wanted, account)

            return self._dispatcher.plan(model, kind, caller, trace, call)

    @contextmanager
    def _resolved(self, request: Request, caller: Caller) -> Iterator[Request]:
        """Resolve attachments; UnsupportedMediaType names the first that is no image."""
        request = with_earlier_jobs(request, lambda job_id: self.get(job_id, caller))
        with self._media.resolved(request, caller) as resolved:
            for item in _images(resolved):
                if isinstance(item, Media) and item.kind != "image":
                    raise UnsupportedMediaType(
                        f"{request.model!r} takes pictures, not {item.mime_type}.",
                        param=item.param,
                    )
            yield resolved

    def _able(self, model: Model, request: Request, caller: Caller) -> Model:
        """The model with those of the caller's routes that can make what is asked for."""
        routes = self._dispatcher.routes(model, caller)
        if isinstance(request, VideoRequest):
            return replace(model, routes=tuple(routes))
        try:
            return replace(model, routes=able_routes(routes, request))
        except InvalidRequest as refusal:
            examples = [
                replace(model, name=name, kind="image", routes=(Route(upstream, name),))
                for upstream in dict.fromkeys(route.upstream for route in routes)
                for name in upstream.examples("image")
            ]
            others = self._dispatcher.reachable([*self._catalog, *examples], caller)
            name_able_models(refusal, others, request)
            raise

    def _model(self, request: Request, caller: Caller) -> tuple[Model, Kind]:
        kind: Kind = "image" if isinstance(request, ImageRequest) else "video"
        model = self._catalog.find(request.model, caller)
        if model.kind == kind:
            return model, kind
        routes = tuple(r for r in model.routes if r.upstream.chat_makes_images)
        if kind == "image" and model.kind == "chat" and routes:
            return replace(model, routes=routes), kind
        raise InvalidRequest(
            f"{request.model!r} makes no {kind}s; GET /v1/models tells what each model makes.",
            param="model",
        )

    def purge(self, keep_s: float) -> int:
        """Forget jobs that ended `keep_s` ago; returns how many.

        Jobs that a vendor refused with the caller's own credential go after a day.
        """
        now = self._clock()
        return self._jobs.purge(now - keep_s, refused_before=now - TEMPORARY_KEEP_S)


def _images(request: Request) -> Iterator[Media | MediaRef]:
    """The attachments that have to be images: all but references of a video."""
    if isinstance(request, VideoRequest):
        yield from request.images
        yield from (r.media for r in request.references if r.role.endswith("_frame"))
    else:
        yield from attachments(request)


def refused(job: Job) -> bool:
    """True if the job failed before any vendor could have acted on it."""
    return job.status == "failed" and not (job.error or {}).get("sent", True)


def _adapted_for(trace: Trace, request: Request, route: Route) -> None:
    trace.adapted_for(route.upstream, replace(request, model=route.model))
