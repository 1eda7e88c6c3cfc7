"""Which account serves a request, and whether a failure is tried again elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TypeVar

from gateway.domain.accounts import Account, Caller, Kind
from gateway.domain.errors import (
    AccountExhausted,
    AccountRejected,
    Fault,
    GatewayError,
    InvalidApiKey,
    InvalidRequest,
    ModelNotFound,
    NoAccountAvailable,
    RateLimitExceeded,
    UpstreamTimeout,
)
from gateway.domain.events import Events, Usage
from gateway.services.catalog import Model, Route
from gateway.services.pool import Pool

_ACCOUNT_FAULTS = frozenset({Fault.ACCOUNT, Fault.MINUTE_QUOTA, Fault.DAY_QUOTA})
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
    dropped: Sequence[str] = ()
    usage: Usage | None = None
    job: str | None = None
    error: GatewayError | None = None
    images: int = field(default=0)
    videos: int = field(default=0)


class Dispatcher:
    def __init__(self, pool: Pool) -> None:
        self._pool = pool

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
    ) -> Events:
        """Yield the batches of the first attempt that answers.

        Another account is tried only while nothing was yielded, and for paid kinds
        (image, video) only when the vendor has certainly not begun to work.
        """
        for attempt in self._attempts(model, kind, caller, trace):
            with attempt as lease:
                with lease as (route, account), closing(call(route, account)) as batches:
                    for batch in batches:
                        attempt.answered = True
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
        for attempt in self._attempts(model, kind, caller, trace):
            with attempt as lease, lease as (route, account):
                return call(route, account)
        raise AssertionError("the last attempt returns or raises")

    def _attempts(
        self, model: Model, kind: Kind, caller: Caller, trace: Trace
    ) -> Iterator[_Attempt]:
        series = _Series(self.routes(model, caller), paid=kind != "chat", own=caller.credential)
        trace.model, trace.kind = model.name, kind
        while True:
            yield _Attempt(series, self._lease(series, model, kind, caller, trace))

    @contextmanager
    def _lease(
        self, series: _Series, model: Model, kind: Kind, caller: Caller, trace: Trace
    ) -> Iterator[tuple[Route, Account]]:
        route = series.route
        lease: AbstractContextManager[Account]
        if caller.credential is not None:
            own = Account(OWN, route.upstream.name, caller.credential, own=True)
            lease = nullcontext(own)
        else:
            lease = self._pool.lease(
                route.upstream.name,
                models=(model.name, route.model),
                kind=kind,
                caller=caller.owner,
                skip=series.tried,
            )
        with lease as account:
            series.tried.add(account.name)
            trace.attempts += 1
            trace.upstream, trace.account = route.upstream.name, account.name
            yield route, account


class _Series:
    """The attempts of one request: where it has been and what it met."""

    def __init__(self, routes: Sequence[Route], *, paid: bool, own: object) -> None:
        self._routes = list(routes)
        self._paid = paid
        self._own = own is not None
        self._vendor_failures = 0
        self._soonest: NoAccountAvailable | None = None
        self._first_failure: GatewayError | None = None
        self.tried: set[str] = set()

    @property
    def route(self) -> Route:
        return self._routes[0]

    def failed(self, err: GatewayError, *, answered: bool) -> None:
        """Return when another attempt is due; raise what the caller is to be told otherwise."""
        if self._own:
            raise _own_error(err) from err
        if isinstance(err, NoAccountAvailable):
            self._next_route(err)
            return
        if answered or len(self.tried) >= _MOST_ATTEMPTS or not self._again(err):
            raise err
        self._first_failure = self._first_failure or err

    def _again(self, err: GatewayError) -> bool:
        if self._paid and err.sent:
            return False
        if err.fault in _ACCOUNT_FAULTS:
            return True
        if err.fault is not Fault.VENDOR or (isinstance(err, UpstreamTimeout) and err.sent):
            return False
        self._vendor_failures += 1
        return self._vendor_failures < _VENDOR_FAILURES

    def _next_route(self, err: NoAccountAvailable) -> None:
        known, fresh = self._soonest, err.retry_after
        if known is None or (fresh or 0) < (known.retry_after or 0):
            self._soonest = err
        self._routes.pop(0)
        if self._routes:
            return
        # Quota failures end as "no account, come back then"; a vendor that failed is said to have.
        failure = self._first_failure
        if failure is not None and not isinstance(failure, AccountExhausted):
            raise failure
        raise self._soonest or err


class _Attempt:
    """`with attempt as lease:` swallows the failures after which another attempt is due."""

    __slots__ = ("_lease", "_series", "answered")

    def __init__(
        self, series: _Series, lease: AbstractContextManager[tuple[Route, Account]]
    ) -> None:
        self._series = series
        self._lease = lease
        self.answered = False

    def __enter__(self) -> AbstractContextManager[tuple[Route, Account]]:
        return self._lease

    def __exit__(self, kind: object, err: BaseException | None, trace: object) -> bool:
        if not isinstance(err, GatewayError):
            return False
        self._series.failed(err, answered=self.answered)
        return True


def _own_error(err: GatewayError) -> GatewayError:
    """What the owner of a credential is told about it: the vendor's own verdict."""
    if isinstance(err, AccountRejected):
        return InvalidApiKey("The vendor refused this credential.")
    if isinstance(err, AccountExhausted):
        return RateLimitExceeded(
            "The vendor says that this credential's quota is used up.", retry_after=err.retry_after
        )
    return err
