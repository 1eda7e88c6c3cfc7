"""Steps of one job: submit, check, store. Every step ends in a state that is saved."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace

from gateway.domain.accounts import Account, Caller, Secret
from gateway.domain.errors import (
    AccountExhausted,
    Fault,
    GatewayError,
    InvalidRequest,
    JobFailed,
    NoAccountAvailable,
    OutcomeUnknown,
    RequestBlocked,
    StorageUnavailable,
    TaskUnknown,
    UpstreamDisconnected,
    UpstreamError,
    UpstreamInvalidResponse,
    UpstreamTimeout,
    to_record,
)
from gateway.domain.events import Events, ImageDraft, MediaReady, Usage
from gateway.domain.jobs import Job, VideoTask
from gateway.domain.requests import ImageRequest, VideoRequest
from gateway.net.fetch.fetcher import Fetcher
from gateway.runtime.logs import log
from gateway.services.jobs.abilities import able_routes
from gateway.services.jobs.pacing import QueryPacer
from gateway.services.jobs.progress import JobProgress
from gateway.services.jobs.records import request_of
from gateway.services.jobs.results import Results
from gateway.services.media.attachments import adapted
from gateway.services.media.media import MediaService
from gateway.services.money.prices import PriceTable
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

_PAUSES_S = (0.5, 1.0, 1.0, 2.0, 3.0, 5.0)  # between checks of one task
_QUEUED_PAUSES_S = (1.0, 2.0, 5.0, 10.0)  # while no account is free
_STORING_PAUSES_S = (1.0, 2.0, 5.0, 15.0, 30.0)
_SOON = 3  # tries to store a result, after which nobody waits for it any longer
_MAX_UNREADABLE = 120  # in a row, which is an hour: then the answers stay unreadable
_LONGEST_S = 24 * 3600.0  # vendors keep results for a day
_LONGEST_QUEUE_S = 3600.0
_INVISIBLE_S = 30.0  # after which a task that the vendor does not know is none
_OBSERVED_S = 3600.0  # by this process, before the wall clock is believed about a job's age
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
        sessions: SessionJournal,
        fetcher: Fetcher,
        prices: PriceTable,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._catalog = catalog
        self._dispatcher = dispatcher
        self._pool = pool
        self._media = media
        self._sessions = sessions
        self._prices = prices
        self._results = Results(media, fetcher, price=self._price)
        self._pacer = QueryPacer(clock=clock)
        self._clock = clock
        self._wall_clock = wall_clock
        self._first_seen: dict[str, float] = {}

    def query_in_s(self, job: Job) -> float:
        """Reserve the query that the job's next step asks the vendor; 0 where it asks none."""
        return self._pacer.reserve(_pace_key(job)) if job.task_id is not None else 0.0

    def pause_s(self, progress: JobProgress, tries: int) -> float:
        status = "storing" if progress.unreadable else progress.job.status
        pauses = {"queued": _QUEUED_PAUSES_S, "storing": _STORING_PAUSES_S}.get(status, _PAUSES_S)
        return pauses[min(progress.unreadable or tries, len(pauses)) - 1]

    def advance(self, progress: JobProgress, credential: Secret | None) -> None:
        """Take the job as far as it goes without waiting.

        A failure that may pass (no free account, a check lost on the network, a full disk)
        leaves the job as it is, for the next call; an unreadable answer does so for an hour.
        Raises ClaimLost.
        """
        try:
            self._step(progress, Caller(progress.job.owner, credential=credential))
        except ClaimLost:
            raise
        except GatewayError as err:
            unreadable = isinstance(err, UpstreamInvalidResponse | RequestBlocked)
            self._failed(progress, err, unreadable=unreadable)
        except Exception as err:  # noqa: BLE001  # the boundary of what happens to a job
            log.error("job_crashed", job=progress.job.id, error=err)
            asked = progress.job.status != "queued"
            failure = GatewayError("The server failed while it worked on the job.", sent=asked)
            self._failed(progress, failure, unreadable=True)
        else:
            progress.unreadable = progress.failures = 0
        if progress.job.done:
            self._first_seen.pop(progress.job.id, None)

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
            return self._results.generated(progress, Usage())
        progress.unreadable = progress.unreadable + 1 if unreadable else 0
        if unreadable and job.status in ("in_progress", "storing"):
            passes = progress.unreadable < _MAX_UNREADABLE
        else:
            passes = self._may_pass(job, err)
        kept = job.result if job.status == "storing" else None
        if not passes and kept and kept["media"]:
            log.warning("job_cut_short", job=job.id, code=err.code, message=err.message)
            self._results.complete(progress, kept["media"], Usage(**kept["usage"]))
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
        """True when only the caller's own credential can go on with the job."""
        own = job.account == OWN or job.owner.startswith(f"{OWN}:")
        return own and job.status != "submitting" and not self._too_old(job)

    def _too_old(self, job: Job) -> bool:
        """By the wall clock, which may have been set, and by what this process has observed."""
        longest = _LONGEST_QUEUE_S if job.status == "queued" else _LONGEST_S
        observed_s = self._observed_s(job)
        return self._wall_clock() - job.created_at > longest and observed_s >= _OBSERVED_S

    def _observed_s(self, job: Job) -> float:
        now = self._clock()
        return now - self._first_seen.setdefault(job.id, now)

    def _may_pass(self, job: Job, err: GatewayError) -> bool:
        if job.status == "queued":
            patient = bool(job.request.get("asynchronous"))
            return patient and isinstance(err, NoAccountAvailable | StorageUnavailable)
        if isinstance(err, JobFailed | OutcomeUnknown) or job.status == "submitting":
            return False
        if self._too_old(job):
            return False
        return isinstance(
            err, StorageUnavailable | AccountExhausted | NoAccountAvailable | RequestBlocked
        ) or err.fault in (Fault.VENDOR, Fault.ACCOUNT)

    def _recover(self, progress: JobProgress) -> None:
        """Go on with a job whose submitter died: a result that was not saved is lost."""
        result = progress.job.result or {}
        if not (result.get("media") or result.get("waiting")):
            raise OutcomeUnknown(_UNKNOWN, sent=True)
        self._results.generated(progress, Usage())

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
        """Save that the vendor may have the job from now on."""
        progress.to(status="submitting", upstream=route.upstream.name, account=account.name)
        return CallContext(progress.job.id, self._sessions)

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
        model = replace(model, routes=able_routes(self._dispatcher.living(model), request))
        stream = self._dispatcher.stream(model, "image", caller, trace, call, amount=request.n)
        with closing(stream) as batches:
            for batch in batches:
                for event in batch:
                    if isinstance(event, MediaReady):
                        self._results.keep(progress, event)
                    elif isinstance(event, ImageDraft):
                        progress.show(event)
                    elif isinstance(event, Usage):
                        usage = event
        if not progress.job.result:
            raise JobFailed("The vendor made no image.", sent=True)
        self._results.generated(progress, usage)

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

        if (draft := request.final_of) is not None:  # which only its account has
            route = next((r for r in model.routes if r.upstream.name == draft.upstream), None)
            if route is None:
                message = f"The draft is at {draft.upstream}, which does not serve this model."
                raise InvalidRequest(message, param="final_of")
            account = self._account_of(draft.upstream, draft.account, caller.credential)
            task_id = call(route, account)
        else:
            task_id = self._dispatcher.once(model, "video", caller, trace, call)
        progress.to(status="in_progress", task_id=task_id)

    def _follow_up(self, progress: JobProgress, caller: Caller) -> None:
        if progress.job.task_id is None:
            self._results.store_waiting(progress)
        else:
            self._check(progress, caller)

    def _check(self, progress: JobProgress, caller: Caller) -> None:
        job = progress.job
        assert job.task_id is not None
        account = self._account(job, caller.credential)
        with self._paced(job), self._pool.query(account):
            task = self._task(job, job.task_id, account)
        if not task.running:
            self._results.store_video(progress, task)
            with contextlib.suppress(GatewayError):  # not before: only the vendor had it
                video_upstream(self._upstream(job)).release_video(job.task_id, account)
            return
        percent = task.percent or min(95, job.progress + 5)
        if percent != job.progress:
            progress.to(progress=percent)

    def _task(self, job: Job, task_id: str, account: Account) -> VideoTask:
        """State of the vendor's task. One that was just created may not be visible yet."""
        try:
            return video_upstream(self._upstream(job)).check_video(task_id, account)
        except TaskUnknown:
            if self._observed_s(job) >= _INVISIBLE_S:
                raise
            return VideoTask(running=True)

    @contextlib.contextmanager
    def _paced(self, job: Job) -> Iterator[None]:
        """For a query about a task, whose rate limit slows the account's queries down."""
        try:
            yield
        except GatewayError as err:
            if err.fault is Fault.MINUTE_QUOTA or err.status == 429:
                self._pacer.limited(_pace_key(job), err.retry_after)
            raise
        self._pacer.answered(_pace_key(job))

    def _price(self, job: Job, usage: Usage) -> None:
        """Set what the job's result costs, by the model of the route that served it."""
        model = self._catalog.find(job.model, Caller(job.owner))
        routes = self._dispatcher.living(model)
        models = [r.model for r in routes if r.upstream.name == job.upstream]
        self._prices.price(usage, job.upstream or "", models, request_of(job))

    def _upstream(self, job: Job) -> Upstream:
        assert job.upstream is not None
        return self._catalog.upstream(job.upstream)

    def _account(self, job: Job, credential: Secret | None) -> Account:
        """The one account that can see the task. Raises JobFailed when it is gone for good."""
        return self._account_of(job.upstream or "", job.account or "", credential)

    def _account_of(self, upstream: str, name: str, credential: Secret | None) -> Account:
        if name == OWN:
            if credential is None:
                raise UpstreamError("The job waits for the credential that made it.")
            return Account(OWN, upstream, credential, own=True)
        account = self._pool.get(name)
        if account is None and self._pool.is_locked(name):
            raise NoAccountAvailable("No secret key decrypts the account that has the job.")
        if account is None:
            raise JobFailed("The account that this job was given to is no longer configured.")
        return account


@contextlib.contextmanager
def _ordered() -> Iterator[None]:
    """Mark failures as coming after the vendor took the job, which is not submitted again."""
    try:
        yield
    except GatewayError as err:
        err.sent = True
        raise


def _pace_key(job: Job) -> str:
    return job.owner if job.account == OWN else job.account or ""


def _later(job: Job) -> StorageUnavailable:
    """Error for callers that wait for a result that cannot be stored yet."""
    return StorageUnavailable(
        "The result is made, but cannot be stored right now. It will be: ask for "
        f"/v1/jobs/{job.id} later instead of sending the request again.",
        retry_after=_STORING_PAUSES_S[-1],
        sent=True,
    )
