"""Which account serves a request, and whether a failure is tried again elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from types import TracebackType
from typing import TypeVar

from gateway.domain.accounts import Account, Caller, Kind
from gateway.domain.errors import (
    AccountExhausted,
    AccountRejected,
    Fault,
    Forbidden,
    GatewayError,
    InvalidApiKey,
    InvalidRequest,
    ModelNotFound,
    ModelNotOpen,
    ModelRejected,
    NoAccountAvailable,
    RateLimitExceeded,
    UpstreamTimeout,
)
from gateway.domain.events import Events, Usage
from gateway.services.pool.health import SPENT_S
from gateway.services.pool.pool import Lease, Pool
from gateway.services.routing.catalog import Model, Route
from gateway.services.routing.retry_budget import RetryBudget
from gateway.storage.db.engine import Write

_QUOTA_FAULTS = frozenset({Fault.MINUTE_QUOTA, Fault.DAY_QUOTA})
_MOST_ATTEMPTS = 16
_VENDOR_FAILURES = 2  # attempts that end in the vendor's own fault before giving up
OWN = "own"

T = TypeVar("T")


@dataclass(slots=True)
class Trace:
    """What became of one request: headers, the log line and usage read it."""

    request_id: str
    model: str = ""
    kind: Kind = "chat"
    upstream: str | None = None
    account: str | None = None
    attempts: int = 0
    dropped: Sequence[str] = ()  # parameters that the vendor has no place for
    changed: Sequence[str] = ()  # parameters sent with another value, as `size=2K`
    unknown: Sequence[str] = ()  # fields of the body that mean nothing, whoever the vendor
    served_model: str | None = None  # the model that the vendor says answered
    model_known: bool = True  # the table of models has a row for it
    shutdown_at: float | None = None  # when the vendor ends the model, by time.time()
    usage: Usage | None = None
    job: str | None = None
    error: GatewayError | None = None
    images: int = field(default=0)
    videos: int = field(default=0)
    fingerprint: Callable[[], str] | None = None  # what equal requests have in common
    on_job: Callable[[str], Write] | None = None  # what is written down with a job of that id


class Dispatcher:
    def __init__(self, pool: Pool, *, budget: RetryBudget | None = None) -> None:
        self._pool = pool
        self._budget = budget or RetryBudget()

    def routes(self, model: Model, caller: Caller) -> list[Route]:
        """The routes that can serve this caller; raises when there is none."""
        if caller.credential is not None:
            secret = caller.credential.reveal()
            for route in model.routes:
                if route.upstream.takes(secret):
                    return [route]
            raise InvalidApiKey(
                f"The credential is neither a key of this gateway nor one that the vendor of "
                f"{model.name[:256]!r} issues."
            )
        found = [r for r in model.routes if self._pool.serves(r.upstream.name, model.name, r.model)]
        if not found:
            raise ModelNotFound(
                f"No account is configured that serves {model.name[:256]!r}.", param="model"
            )
        return found

    def reachable(self, models: Iterable[Model], caller: Caller) -> list[Model]:
        """The models that `routes` would find an upstream for."""
        found = []
        for model in models:
            try:
                self.routes(model, caller)
            except InvalidRequest:
                continue
            if caller.may_use(model.name):
                found.append(model)
        return found

    def stream(
        self,
        model: Model,
        kind: Kind,
        caller: Caller,
        trace: Trace,
        call: Callable[[Route, Account], Events],
        *,
        amount: int = 1,
    ) -> Events:
        """Yield the batches of the first attempt that answers; it makes `amount` of the kind.

        Another account is tried only while nothing was yielded, and for paid kinds
        (image, video) only when the vendor has certainly not begun to work.
        """
        for attempt in self._attempts(model, kind, caller, trace, amount):
            with attempt, closing(call(attempt.route, attempt.account)) as batches:
                for batch in batches:
                    if not attempt.answered:
                        attempt.has_answered()
                    yield batch
                return

    def once(
        self,
        model: Model,
        kind: Kind,
        caller: Caller,
        trace: Trace,
        call: Callable[[Route, Account], T],
    ) -> T:
        """As `stream`, for a call that answers with one value."""
        for attempt in self._attempts(model, kind, caller, trace, 1):
            with attempt:
                return call(attempt.route, attempt.account)
        raise AssertionError("the last attempt returns or raises")

    def plan(
        self,
        model: Model,
        kind: Kind,
        caller: Caller,
        trace: Trace,
        call: Callable[[Route, Account], T],
    ) -> T:
        """As `once`, for a call that asks nothing of the vendor: no account is taken."""
        series = _Series(self, model, kind, caller, trace, 1)
        while True:
            try:
                account = series.own_account() or self._pool.peek(
                    series.route.upstream.name, models=series.names, kind=kind
                )
            except (NoAccountAvailable, AccountRejected, ModelNotOpen) as err:
                series.next_route(err)
                continue
            trace.upstream, trace.account = series.route.upstream.name, account.name
            return call(series.route, account)

    def _attempts(
        self, model: Model, kind: Kind, caller: Caller, trace: Trace, amount: int
    ) -> Iterator[_Attempt]:
        series = _Series(self, model, kind, caller, trace, amount)
        self._budget.count_request()
        give_up_at = self._pool.deadline()
        while True:
            yield self._attempt(series, kind, caller, trace, give_up_at)

    def _attempt(
        self, series: _Series, kind: Kind, caller: Caller, trace: Trace, give_up_at: float
    ) -> _Attempt:
        lease = None
        account = series.own_account()
        while account is None:
            try:
                lease = self._pool.lease(
                    series.route.upstream.name,
                    models=series.names,
                    kind=kind,
                    caller=caller.owner,
                    skip=series.skip,
                    amount=series.amount,
                    give_up_at=give_up_at,
                )
                account = lease.account
            except (NoAccountAvailable, AccountRejected, InvalidRequest) as err:
                series.next_route(err)
        series.attempts += 1
        trace.attempts += 1
        trace.upstream, trace.account = series.route.upstream.name, account.name
        return _Attempt(series, account, lease)

    def may_retry(self) -> bool:
        return self._budget.take()

    def others(self, series: _Series) -> bool:
        """Whether there are accounts for its route that it has not tried."""
        return self._pool.serves(series.route.upstream.name, *series.names, skip=series.skip)


class _Series:
    """The attempts of one request: where it has been and what it met.

    Failures of the vendor are tried again once, elsewhere, within the budget. Accounts that
    refuse are replaced as long as there are others: each is put aside by its refusal, so
    their number bounds these attempts.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        model: Model,
        kind: Kind,
        caller: Caller,
        trace: Trace,
        amount: int,
    ) -> None:
        self._dispatcher = dispatcher
        self._routes = dispatcher.routes(model, caller)
        self._name = model.name
        self._paid = kind != "chat"
        self._own = caller.credential
        self._vendor_failures = 0
        self._soonest: GatewayError | None = None
        self._vendor_failure: GatewayError | None = None
        self._not_open: ModelNotOpen | None = None
        self._without: set[str] = set()  # accounts skipped for the model of this route
        self.attempts = 0
        self.amount = amount
        self.skip: set[str] = set()
        trace.model, trace.kind = model.name, kind

    @property
    def route(self) -> Route:
        return self._routes[0]

    @property
    def names(self) -> tuple[str, str]:
        """What accounts that are restricted to some models may call this one."""
        return self._name, self.route.model

    def own_account(self) -> Account | None:
        if self._own is None:
            return None
        return Account(OWN, self.route.upstream.name, self._own, own=True)

    def failed(self, err: GatewayError, account: Account, *, answered: bool) -> None:
        """Return when another attempt is due; raise what the caller is to be told otherwise."""
        if self._own is not None:
            raise _own_error(err) from err
        if answered or (self._paid and err.sent) or not self._again(err, account):
            raise err
        if self.attempts >= _MOST_ATTEMPTS:
            raise NoAccountAvailable(
                f"{self.attempts} accounts were tried, and none could serve the request.",
                retry_after=1.0,
            ) from err

    def _again(self, err: GatewayError, account: Account) -> bool:
        if err.fault in _QUOTA_FAULTS:
            return True  # once it has cooled, the same account may do
        if isinstance(err, ModelNotOpen):
            self._not_open = err
        if isinstance(err, ModelNotOpen | ModelRejected):
            self._without.add(account.name)
        if err.fault is Fault.ACCOUNT or isinstance(err, ModelNotOpen):
            self.skip.add(account.name)
            return True
        if err.fault is not Fault.VENDOR or (isinstance(err, UpstreamTimeout) and err.sent):
            return False
        self.skip.add(account.name)
        self._vendor_failures += 1
        self._vendor_failure = self._vendor_failure or err
        return self._vendor_failures < _VENDOR_FAILURES and self._dispatcher.may_retry()

    def next_route(self, err: GatewayError) -> None:
        """Go on where there is no account to be had; raise what that means when it is the last."""
        if self._not_open is not None and not self._dispatcher.others(self):
            err = self._not_open  # there is none to wait for
        known = self._soonest
        passes = not isinstance(err, InvalidRequest)  # which is about this route alone
        if passes and (known is None or (err.retry_after or 0) < (known.retry_after or 0)):
            self._soonest = err
        if len(self._routes) > 1:
            self._routes.pop(0)
            self.skip -= self._without
            self._without.clear()
            self._not_open = None
            return
        # A vendor that failed is said to have; otherwise the caller learns when to come back.
        raise self._vendor_failure or self._soonest or err


class _Attempt:
    """One call with one account; its end swallows the errors after which another is due."""

    __slots__ = ("_lease", "_series", "account", "answered", "route")

    def __init__(self, series: _Series, account: Account, lease: Lease | None) -> None:
        self._series = series
        self._lease = lease
        self.route = series.route
        self.account = account
        self.answered = False

    def has_answered(self) -> None:
        self.answered = True
        if self._lease is not None:
            self._lease.answered()

    def __enter__(self) -> _Attempt:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        err: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if self._lease is not None:
            self._lease.__exit__(kind, err, trace)
        if not isinstance(err, GatewayError):
            return False
        self._series.failed(err, self.account, answered=self.answered)
        return True


def _own_error(err: GatewayError) -> GatewayError:
    """What the owner of a credential is told about it: the vendor's own verdict."""
    if isinstance(err, ModelRejected):
        return Forbidden("The vendor does not allow this credential this model.", param="model")
    if isinstance(err, AccountRejected):
        return InvalidApiKey("The vendor refused this credential.")
    if isinstance(err, AccountExhausted):
        unknown_s = SPENT_S if err.fault is Fault.DAY_QUOTA else None
        return RateLimitExceeded(
            "The vendor says that this credential's quota is used up.",
            retry_after=err.retry_after or unknown_s,
        )
    return err
