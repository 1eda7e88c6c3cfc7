"""How one job moves on: submit, check, store. Each step is a state worth writing down."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

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
    UpstreamInvalidResponse,
    UpstreamTimeout,
    to_record,
)
from gateway.domain.events import Events, MediaReady, MediaStored, Usage
from gateway.domain.jobs import Job, VideoTask
from gateway.domain.media import MediaSource, StoredMedia
from gateway.domain.requests import ImageRequest, VideoRequest
from gateway.net.fetch.fetcher import Fetcher
from gateway.runtime.logs import log
from gateway.services.jobs.progress import JobProgress
from gateway.services.jobs.records import media_entry, request_of, usage_record
from gateway.services.media.attachments import adapted
from gateway.services.media.media import MediaService
from gateway.services.pool.pool import Pool
from gateway.services.routing.catalog import Catalog, Model, Route
from gateway.services.routing.dispatch import OWN, Dispatcher, Trace
from gateway.storage.records.jobs import ClaimLost
from gateway.upstreams.base import (
    CallContext,
    SessionJournal,
    Upstream,
    image_upstream,
    video_upstream,
)
from gateway.upstreams.media_sources import from_url

_PAUSES_S = (0.5, 1.0, 1.0, 2.0, 3.0, 5.0)  # between checks of one task
_QUEUED_PAUSES_S = (1.0, 2.0, 5.0, 10.0)  # while no account is free
_STORING_PAUSES_S = (1.0, 2.0, 5.0, 15.0, 30.0)
_SOON = 3  # tries to store a result, after which nobody waits for it any longer
_HOLDING_PAUSES_S = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0)  # with the only copy of a picture in memory
_MAX_UNREADABLE = 120  # in a row, which is an hour: then nothing is to be made of the answers
_LONGEST_S = 24 * 3600.0  # vendors keep results for a day
_LONGEST_QUEUE_S = 7200.0  # an hour, though the clock may be set by one
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
        fetcher: Fetcher,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._catalog = catalog
        self._dispatcher = dispatcher
        self._pool = pool
        self._media = media
        self._journal = journal
        self._fetcher = fetcher
        self._clock = clock

    def pause_s(self, progress: JobProgress, tries: int) -> float:
        status = "storing" if progress.unreadable else progress.job.status
        pauses = {"queued": _QUEUED_PAUSES_S, "storing": _STORING_PAUSES_S}.get(status, _PAUSES_S)
        return pauses[min(progress.unreadable or tries, len(pauses)) - 1]

    def advance(self, progress: JobProgress, credential: Secret | None) -> None:
        """Take the job as far as it goes without waiting.

        A failure that time may mend (no free account, a check lost on the network, a full
        disk) leaves the job as it is, for the next call; one that makes no sense does so for
        an hour. Raises ClaimLost.
        """
        try:
            self._step(progress, Caller(progress.job.owner, credential=credential))
        except ClaimLost:
            raise
        except GatewayError as err:
            self._failed(progress, err, unreadable=isinstance(err, UpstreamInvalidResponse))
        except Exception as err:  # noqa: BLE001  # the boundary of what happens to a job
            log.error("job_crashed", job=progress.job.id, error=err)
            asked = progress.job.status != "queued"
            failure = GatewayError("The server failed while it worked on the job.", sent=asked)
            self._failed(progress, failure, unreadable=True)
        else:
            progress.unreadable = progress.failures = 0

    def _step(self, progress: JobProgress, caller: Caller) -> None:
        if self._too_old(progress.job):
            if progress.job.status == "queued":
                raise UpstreamTimeout("No account was free in time for the job.")
            raise UpstreamTimeout("The vendor did not finish the job in time.", sent=True)
        if progress.job.status == "submitting":
            self._recover(progress)
        elif progress.job.status == "queued":
            self._submit(progress, caller)
        else:
            with _ordered():
                self._follow_up(progress, caller)

    def _failed(self, progress: JobProgress, err: GatewayError, *, unreadable: bool) -> None:
        job = progress.job
        if job.status == "submitting" and job.result:
            log.warning("job_cut_short", job=job.id, code=err.code, message=err.message)
            return self._generated(progress, Usage())
        progress.unreadable = progress.unreadable + 1 if unreadable else 0
        if unreadable and job.status in ("in_progress", "storing"):
            passes = progress.unreadable < _MAX_UNREADABLE
        else:
            passes = self._may_pass(job, err)
        kept = job.result if job.status == "storing" else None
        if not passes and kept and kept["media"]:
            log.warning("job_cut_short", job=job.id, code=err.code, message=err.message)
            self._complete(progress, kept["media"], Usage(**kept["usage"]))
        elif not passes:
            progress.to(status="failed", error=to_record(err))
        elif job.status == "storing":
            progress.failures += 1
            if progress.failures == _SOON:
                progress.to(error=to_record(_later(job)))

    def cancel(self, job: Job, credential: Secret | None) -> None:
        """Ask the vendor to stop, where it can; what cannot be stopped is left to end unseen."""
        if job.task_id is None:
            return
        with contextlib.suppress(GatewayError):
            account = self._account(job, credential)
            video_upstream(self._upstream(job)).cancel_video(job.task_id, account)

    def needs_credential(self, job: Job) -> bool:
        """Whether only the caller's own credential can move the job."""
        own = job.account == OWN or job.owner.startswith(f"{OWN}:")
        return own and job.status != "submitting" and not self._too_old(job)

    def _too_old(self, job: Job) -> bool:
        longest = _LONGEST_QUEUE_S if job.status == "queued" else _LONGEST_S
        return self._clock() - job.created_at > longest

    def _may_pass(self, job: Job, err: GatewayError) -> bool:
        if job.status == "queued":
            patient = bool(job.request.get("asynchronous"))
            return patient and isinstance(err, NoAccountAvailable | StorageUnavailable)
        if isinstance(err, JobFailed | OutcomeUnknown) or job.status == "submitting":
            return False
        if self._too_old(job):
            return False
        return isinstance(
            err, StorageUnavailable | AccountExhausted | NoAccountAvailable
        ) or err.fault in (Fault.VENDOR, Fault.ACCOUNT)

    def _recover(self, progress: JobProgress) -> None:
        """Whoever submitted the job is gone: what was not written down is lost."""
        result = progress.job.result or {}
        if not (result.get("media") or result.get("waiting")):
            raise OutcomeUnknown(_UNKNOWN, sent=True)
        self._generated(progress, Usage())

    def _submit(self, progress: JobProgress, caller: Caller) -> None:
        model = self._catalog.find(progress.job.model, Caller(progress.job.owner))
        trace = Trace(progress.job.id)
        try:
            with self._request(progress, caller) as request:
                if isinstance(request, ImageRequest):
                    self._generate_image(progress, request, model, caller, trace)
                else:
                    self._start_video(progress, request, model, caller, trace)
        except (UpstreamDisconnected, UpstreamTimeout, UpstreamInvalidResponse) as err:
            unreadable = isinstance(err, UpstreamInvalidResponse)
            if err.sent and not (unreadable and progress.job.kind == "image"):
                raise OutcomeUnknown(_UNKNOWN, sent=True) from err
            raise
        except NoAccountAvailable:
            if progress.job.status == "submitting":  # at accounts that did not take it
                progress.to(status="queued", upstream=None, account=None)
            raise

    @contextlib.contextmanager
    def _request(
        self, progress: JobProgress, caller: Caller
    ) -> Iterator[ImageRequest | VideoRequest]:
        """The resolved request: as its creator resolved it, or again."""
        prepared, progress.prepared = progress.prepared, None
        if prepared is None:
            with self._media.resolved(request_of(progress.job), caller) as request:
                yield request
        else:
            with contextlib.closing(prepared):
                yield prepared.request

    def _begin(self, progress: JobProgress, route: Route, account: Account) -> CallContext:
        """From here on the vendor may have the job."""
        progress.to(status="submitting", upstream=route.upstream.name, account=account.name)
        return CallContext(progress.job.id, self._journal)

    def _generate_image(
        self,
        progress: JobProgress,
        request: ImageRequest,
        model: Model,
        caller: Caller,
        trace: Trace,
    ) -> None:
        def call(route: Route, account: Account) -> Events:
            wanted = adapted(request, route)
            context = self._begin(progress, route, account)
            return image_upstream(route.upstream).image(wanted, account, context)

        usage = Usage()
        stream = self._dispatcher.stream(model, "image", caller, trace, call, amount=request.n)
        with closing(stream) as batches:
            for batch in batches:
                for event in batch:
                    if isinstance(event, MediaReady):
                        self._keep(progress, event)
                    elif isinstance(event, Usage):
                        usage = event
        if not progress.job.result:
            raise JobFailed("The vendor made no picture.", sent=True)
        self._generated(progress, usage)

    def _generated(self, progress: JobProgress, usage: Usage) -> None:
        result = progress.job.result or {}
        made, waiting = result["media"], result.get("waiting")
        usage.images = usage.images or len(made) + len(waiting or ())
        if waiting:
            result = {**result, "usage": usage_record(usage)}
            progress.to(status="storing", progress=99, result=result)
        else:
            self._complete(progress, made, usage)

    def _keep(self, progress: JobProgress, event: MediaReady) -> None:
        """Store a picture and write it down; where the store is away, the vendor's link.

        A picture that came without a link is held and tried again, for a minute.
        """
        result = progress.job.result or {"media": [], "waiting": []}
        made, waiting = list(result["media"]), list(result["waiting"])
        for pause_s in (*_HOLDING_PAUSES_S, None):
            try:
                with _ordered():
                    stored = self._media.archive(event.source, progress.job.owner)
            except StorageUnavailable:
                if event.source.url is not None:
                    link = {"url": event.source.url, "mime_type": event.source.mime_type}
                    waiting.append({"kind": event.kind, **link})
                    break
                if pause_s is None:
                    raise
                time.sleep(pause_s)
            else:
                made.append(media_entry(MediaStored(event.kind, stored)))
                break
        progress.to(result={"media": made, "waiting": waiting})

    def _store_waiting(self, progress: JobProgress) -> None:
        result = progress.job.result or {}
        made, waiting = list(result["media"]), list(result["waiting"])
        while waiting:
            source: MediaSource = from_url(
                self._fetcher, waiting[0]["url"], waiting[0]["mime_type"]
            )
            stored = self._media.archive(source, progress.job.owner)
            made.append(media_entry(MediaStored(waiting.pop(0)["kind"], stored)))
            progress.to(result={**result, "media": list(made), "waiting": list(waiting)})
        self._complete(progress, made, Usage(**result["usage"]))

    def _start_video(
        self,
        progress: JobProgress,
        request: VideoRequest,
        model: Model,
        caller: Caller,
        trace: Trace,
    ) -> None:
        def call(route: Route, account: Account) -> str:
            wanted = adapted(request, route)
            context = self._begin(progress, route, account)
            return video_upstream(route.upstream).submit_video(wanted, account, context)

        task_id = self._dispatcher.once(model, "video", caller, trace, call)
        progress.to(status="in_progress", task_id=task_id)

    def _follow_up(self, progress: JobProgress, caller: Caller) -> None:
        if progress.job.task_id is None:
            self._store_waiting(progress)
        else:
            self._check(progress, caller)

    def _check(self, progress: JobProgress, caller: Caller) -> None:
        job = progress.job
        assert job.task_id is not None
        account = self._account(job, caller.credential)
        with self._pool.query(account):
            task = video_upstream(self._upstream(job)).check_video(job.task_id, account)
        if task.running:
            percent = task.percent or min(95, job.progress + 5)
            if percent != job.progress:
                progress.to(progress=percent)
            return
        if job.status != "storing":
            progress.to(status="storing", progress=99)
        assert task.video is not None
        stored = self._media.archive(task.video, job.owner)
        entry = media_entry(MediaStored("video", stored, self._cover(task, job)))
        self._complete(progress, [entry], Usage(completion_tokens=task.completion_tokens, videos=1))
        with contextlib.suppress(GatewayError):  # not before: until then only the vendor has it
            video_upstream(self._upstream(job)).release_video(job.task_id, account)

    def _cover(self, task: VideoTask, job: Job) -> StoredMedia | None:
        """The still of a film; a film whose still cannot be read has none."""
        if task.cover is None:
            return None
        try:
            return self._media.archive(task.cover, job.owner)
        except UpstreamError as err:
            log.warning("cover_lost", job=job.id, code=err.code, message=err.message)
            return None

    def _complete(self, progress: JobProgress, media: list[dict[str, Any]], usage: Usage) -> None:
        result = {"media": media, "usage": usage_record(usage)}
        progress.to(status="completed", progress=100, result=result, error=None)

    def _upstream(self, job: Job) -> Upstream:
        assert job.upstream is not None
        return self._catalog.upstream(job.upstream)

    def _account(self, job: Job, credential: Secret | None) -> Account:
        """The one account that can see the task. Raises JobFailed when it is gone for good."""
        if job.account == OWN:
            assert job.upstream is not None
            if credential is None:
                raise UpstreamError("The job waits for the credential that made it.")
            return Account(OWN, job.upstream, credential, own=True)
        account = self._pool.get(job.account or "")
        if account is None and self._pool.is_locked(job.account or ""):
            raise NoAccountAvailable("No secret key opens the account that has the job.")
        if account is None:
            raise JobFailed("The account that this job was given to is no longer configured.")
        return account


@contextlib.contextmanager
def _ordered() -> Iterator[None]:
    """For what comes once the vendor has the job: no failure of it calls for another order."""
    try:
        yield
    except GatewayError as err:
        err.sent = True
        raise


def _later(job: Job) -> StorageUnavailable:
    """What is told to those who wait for a result that cannot be stored yet."""
    return StorageUnavailable(
        "The result is made, but cannot be stored right now. It will be: ask for "
        f"/v1/jobs/{job.id} later instead of sending the request again.",
        retry_after=_STORING_PAUSES_S[-1],
        sent=True,
    )
