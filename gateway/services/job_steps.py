"""How one job moves on: submit, check, store. Each step is a state worth writing down."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import structlog

from gateway.domain.accounts import Account, Caller, Secret
from gateway.domain.errors import (
    AccountExhausted,
    Fault,
    GatewayError,
    JobFailed,
    NoAccountAvailable,
    OutcomeUnknown,
    StorageUnavailable,
    UpstreamDisconnected,
    UpstreamError,
    UpstreamTimeout,
    to_record,
)
from gateway.domain.events import Events, MediaStored, Usage
from gateway.domain.jobs import Job
from gateway.domain.requests import ImageRequest, VideoRequest
from gateway.services.catalog import Catalog, Model, Route
from gateway.services.chat import keep_media
from gateway.services.dispatch import OWN, Dispatcher, Trace
from gateway.services.job_records import media_entry, request_of, usage_record
from gateway.services.media import MediaService
from gateway.services.pool import Pool
from gateway.upstreams.base import CallContext, SessionJournal, Upstream

log = structlog.get_logger()

_PAUSES_S = (0.5, 1.0, 1.0, 2.0, 3.0, 5.0)  # between checks of one task
_QUEUED_PAUSES_S = (1.0, 2.0, 5.0, 10.0)  # while no account is free
_STORING_PAUSES_S = (1.0, 2.0, 5.0, 15.0, 30.0)
_LONGEST_S = 24 * 3600.0  # vendors keep results for a day
_LONGEST_QUEUE_S = 3600.0
_UNKNOWN = (
    "The connection was lost while the vendor was accepting the job. It may be running and "
    "billed there, so it is not submitted again by itself."
)


class JobSteps:
    def __init__(
        self,
        catalog: Catalog,
        dispatcher: Dispatcher,
        pool: Pool,
        media: MediaService,
        journal: SessionJournal,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._catalog = catalog
        self._dispatcher = dispatcher
        self._pool = pool
        self._media = media
        self._journal = journal
        self._clock = clock

    def guard(self, work: Callable[[], object]) -> None:
        """Run background work; its failure is logged and costs nobody else anything."""
        try:
            work()
        except GatewayError as err:
            log.warning("background_work_failed", code=err.code, message=err.message)

    def pause_s(self, job: Job, tries: int) -> float:
        pauses = {"queued": _QUEUED_PAUSES_S, "storing": _STORING_PAUSES_S}.get(
            job.status, _PAUSES_S
        )
        return pauses[min(tries, len(pauses)) - 1]

    def advance(self, job: Job, credential: Secret | None) -> Iterator[Job]:
        """Yield the job's next states, each to be saved before the next is asked for.

        A failure that time may mend (no free account, a check lost on the network, a full
        disk) leaves the job as it is, for the next call.
        """
        caller = Caller(job.owner, credential=credential)
        try:
            if self._too_old(job):
                raise UpstreamTimeout("The vendor did not finish the job in time.", sent=True)
            if job.status == "submitting":
                raise OutcomeUnknown(_UNKNOWN, sent=True)
            if job.status == "queued":
                yield from self._submit(job, caller)
            else:
                yield from self._check(job, caller)
        except GatewayError as err:
            if not self._may_pass(job, err):
                yield replace(job, status="failed", error=to_record(err))

    def cancel(self, job: Job, credential: Secret | None) -> None:
        """Ask the vendor to stop, where it can; what cannot be stopped is left to end unseen."""
        if job.task_id is None:
            return
        with contextlib.suppress(GatewayError):
            account = self._account(job, credential)
            self._upstream(job).cancel_video(job.task_id, account)

    def _too_old(self, job: Job) -> bool:
        longest = _LONGEST_QUEUE_S if job.status == "queued" else _LONGEST_S
        return self._clock() - job.created_at > longest

    def _may_pass(self, job: Job, err: GatewayError) -> bool:
        if job.status == "queued":
            return bool(job.request.get("asynchronous")) and isinstance(err, NoAccountAvailable)
        if isinstance(err, JobFailed | OutcomeUnknown) or job.task_id is None:
            return False
        return isinstance(
            err, StorageUnavailable | AccountExhausted | NoAccountAvailable
        ) or err.fault in (Fault.VENDOR, Fault.ACCOUNT)

    def _submit(self, job: Job, caller: Caller) -> Iterator[Job]:
        model = self._catalog.find(job.model, Caller(job.owner))
        trace = Trace(job.id)
        context = CallContext(job.id, self._journal)
        with self._media.resolved(request_of(job), caller) as request:
            job = replace(job, status="submitting")
            yield job
            try:
                if isinstance(request, ImageRequest):
                    yield from self._paint(job, request, model, caller, trace, context)
                else:
                    yield self._start_video(job, request, model, caller, trace, context)
            except (UpstreamDisconnected, UpstreamTimeout) as err:
                if err.sent:
                    raise OutcomeUnknown(_UNKNOWN, sent=True) from err
                raise

    def _paint(
        self,
        job: Job,
        request: ImageRequest,
        model: Model,
        caller: Caller,
        trace: Trace,
        context: CallContext,
    ) -> Iterator[Job]:
        def call(route: Route, account: Account) -> Events:
            return route.upstream.image(replace(request, model=route.model), account, context)

        pictures: list[dict[str, Any]] = []
        usage = Usage()
        batches = self._dispatcher.stream(model, "image", caller, trace, call)
        for batch in keep_media(batches, self._media, caller, trace):
            job = replace(job, upstream=trace.upstream, account=trace.account)
            for event in batch:
                if isinstance(event, MediaStored):
                    pictures.append(media_entry(event))
                    yield (job := replace(job, result={"media": list(pictures)}))
                elif isinstance(event, Usage):
                    usage = event
        if not pictures:
            raise JobFailed("The vendor made no picture.", sent=True)
        usage.images = usage.images or len(pictures)
        yield self._completed(job, pictures, usage)

    def _start_video(
        self,
        job: Job,
        request: VideoRequest,
        model: Model,
        caller: Caller,
        trace: Trace,
        context: CallContext,
    ) -> Job:
        def call(route: Route, account: Account) -> str:
            vendor_request = replace(request, model=route.model)
            return route.upstream.submit_video(vendor_request, account, context)

        task_id = self._dispatcher.once(model, "video", caller, trace, call)
        return replace(
            job,
            status="in_progress",
            task_id=task_id,
            upstream=trace.upstream,
            account=trace.account,
        )

    def _check(self, job: Job, caller: Caller) -> Iterator[Job]:
        assert job.task_id is not None
        account = self._account(job, caller.credential)
        task = self._upstream(job).check_video(job.task_id, account)
        if task.running:
            percent = task.percent or min(95, job.progress + 5)
            yield replace(job, status="in_progress", progress=percent)
            return
        if job.status != "storing":
            yield (job := replace(job, status="storing", progress=99))
        assert task.video is not None
        cover = self._media.archive(task.cover, job.owner) if task.cover else None
        stored = self._media.archive(task.video, job.owner)
        entry = media_entry(MediaStored("video", stored, cover))
        usage = Usage(completion_tokens=task.completion_tokens, videos=1)
        yield self._completed(job, [entry], usage)

    def _completed(self, job: Job, media: list[dict[str, Any]], usage: Usage) -> Job:
        result = {"media": media, "usage": usage_record(usage)}
        return replace(job, status="completed", progress=100, result=result)

    def _upstream(self, job: Job) -> Upstream:
        assert job.upstream is not None
        return self._catalog.upstream(job.upstream)

    def _account(self, job: Job, credential: Secret | None) -> Account:
        """The one account that can see the task. Raises JobFailed when it is gone."""
        if job.account == OWN:
            assert job.upstream is not None
            if credential is None:
                raise UpstreamError("The job waits for the credential that made it.")
            return Account(OWN, job.upstream, credential, own=True)
        account = self._pool.get(job.account or "")
        if account is None:
            raise JobFailed("The account that this job was given to is no longer configured.")
        return account
