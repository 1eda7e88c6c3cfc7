"""Attempts of a request: an account for each, and another after a failure that allows it."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
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
    ModelNotAvailable,
    ModelNotFound,
    ModelRejected,
    NoAccountAvailable,
    RateLimitExceeded,
    UpstreamDisconnected,
    UpstreamInvalidResponse,
)
from gateway.domain.events import Usage
from gateway.domain.money import CostRange
from gateway.domain.requests import ChatRequest, ImageRequest, VideoRequest
from gateway.runtime.logs import log
from gateway.services.pool.health import UNKNOWN_QUOTA_S
from gateway.services.pool.lease import Lease
from gateway.services.pool.pool import Pool
from gateway.services.pool.pooled_account import LeaseRequest
from gateway.services.routing.catalog import Model, Route
from gateway.services.routing.retries import RetryBudget, RetryState
from gateway.storage.db.engine import Write
from gateway.upstreams.base import Upstream

_MAX_ATTEMPTS = 16
_PAID = frozenset({"image", "video"})  # submitted at most once
_CRASHES = (TypeError, AttributeError, KeyError, ValueError, IndexError)
OWN = "own"

T = TypeVar("T")
Call = Callable[[Route, Account], T]


@dataclass(slots=True)
class Trace:
    """Outcome of one request, for its headers, its log line and the usage accounting."""

    request_id: str
    model: str = ""
    kind: Kind = "chat"
    upstream: str | None = None
    account: str | None = None
    attempts: int = 0
    dropped: Sequence[str] = ()  # parameters that the vendor has no place for
    changed: Sequence[str] = ()  # parameters sent with another value, as `size=2K`
    unknown: Sequence[str] = ()  # fields of the body that mean nothing, whoever the vendor
    served_model: str | None = None  # as the vendor says, else the one asked for
    model_known: bool = True  # the table of models has a row for it
    shutdown_at: float | None = None  # when the vendor ends the model, by time.time()
    usage: Usage | None = None
    vendor_model: str = ""  # the vendor's id that was asked for
    cost_range: CostRange | None = None  # of a dry run
    budget_left: int | None = None  # nanos, of the caller's tightest budget
    job: str | None = None
    error: GatewayError | None = None
    images: int = field(default=0)
    videos: int = field(default=0)
    fingerprint: Callable[[], str] | None = None  # what equal requests have in common
    on_job: Callable[[str], Write] | None = None  # what is written down with a job of that id

    def served(self, model: str) -> None:
        self.served_model = model

    def adapted_for(
        self,
        upstream: Upstream,
        request: ChatRequest | ImageRequest | VideoRequest,
        account: Account | None = None,
    ) -> None:
        """Set what is dropped and changed for a vendor, and what is known of its model."""
        facts = upstream.facts(request.model)
        self.dropped = tuple(upstream.dropped(request, account))
        self.changed = tuple(upstream.changed(request))
        self.served_model = self.vendor_model = request.model
        self.model_known = facts is not None
        self.shutdown_at = facts.shutdown_at if facts is not None else None


class Dispatcher:
    def __init__(
        self,
        pool: Pool,
        *,
        budget: RetryBudget | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._pool = pool
        self._budget = budget or RetryBudget()
        self._clock = clock

    def routes(self, model: Model, caller: Caller) -> list[Route]:
        """The routes that can serve this caller; raises when there is none."""
        if caller.credential is not None:
            secret = caller.credential.reveal()
            for route in model.routes:
                if route.upstream.takes(secret):
                    return [self._living(route)]
            raise InvalidApiKey(
                f"The credential is neither a key of this gateway nor one that the vendor of "
                f"{model.name[:256]!r} issues."
            )
        serves = self._pool.serves
        found = [r for r in self.living(model) if serves(r.upstream.name, model.name, r.model)]
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

    def living(self, model: Model) -> list[Route]:
        """The model's routes as they are today."""
        return [self._living(route) for route in model.routes]

    def _living(self, route: Route) -> Route:
        """The route, or that of its model's successor once the vendor has shut the model down."""
        facts = route.upstream.facts(route.model)
        if facts is None or facts.shutdown_at is None or facts.successor is None:
            return route
        if self._clock() < facts.shutdown_at:
            return route
        return Route(route.upstream, facts.successor)

    def stream(
        self,
        model: Model,
        kind: Kind,
        caller: Caller,
        trace: Trace,
        call: Call[Generator[T]],
        *,
        amount: int = 1,
        conversation: str = "",
    ) -> Generator[T]:
        """Yield the batches of the first attempt that answers; it makes `amount` of the kind.

        Another account is tried only while nothing was yielded, and for paid kinds
        (image, video) only when the vendor has certainly not begun to work.
        """
        routes = self.routes(model, caller)
        trace.model, trace.kind = model.name, kind
        self._budget.count_request()
        if caller.credential is not None:
            yield from self._with_own_credential(routes[0], kind, caller, trace, call)
            return
        need = _Need(model, kind, caller, amount, self._pool.deadline(), conversation)
        state = RetryState(routes, paid=kind in _PAID)
        answered = False
        for attempt in range(1, _MAX_ATTEMPTS + 1):
            lease = self._lease(need, state)
            route, account = state.route, lease.account
            trace.attempts += 1
            trace.upstream, trace.account = route.upstream.name, account.name
            try:
                with lease, _guarded(route, account), closing(call(route, account)) as batches:
                    for batch in batches:
                        if not answered:
                            answered = True
                            lease.succeeded()
                        yield batch
                    return
            except GatewayError as err:
                if answered or not self._may_retry(state, err, account.name):
                    raise
                if attempt == _MAX_ATTEMPTS:
                    raise NoAccountAvailable(
                        f"{attempt} accounts were tried, and none could serve the request.",
                        retry_after=1.0,
                    ) from err

    def once(self, model: Model, kind: Kind, caller: Caller, trace: Trace, call: Call[T]) -> T:
        """Make a call that answers with one value; otherwise the same as `stream`."""

        def as_batch(route: Route, account: Account) -> Generator[T]:
            yield call(route, account)

        with closing(self.stream(model, kind, caller, trace, as_batch)) as batches:
            return next(batches)

    def plan(
        self,
        model: Model,
        kind: Kind,
        caller: Caller,
        trace: Trace,
        call: Call[T],
        *,
        conversation: str = "",
    ) -> T:
        """Make a call that asks nothing of the vendor: the same as `once`, without a lease."""
        routes = self.routes(model, caller)
        trace.model, trace.kind = model.name, kind
        need = _Need(model, kind, caller, 1, 0.0, conversation)
        state = RetryState(routes, paid=False)
        while True:
            route = state.route
            try:
                if caller.credential is not None:
                    account = _own_account(route, caller)
                else:
                    account = self._pool.peek(need.of(state))
            except (NoAccountAvailable, AccountRejected, ModelNotAvailable) as err:
                state.next_route(err)
                continue
            trace.upstream, trace.account = route.upstream.name, account.name
            return call(route, account)

    def _lease(self, need: _Need, state: RetryState) -> Lease:
        """Lease of an account of the first route that has one. Raises when none has."""
        while True:
            try:
                if state.reconnects is not None and not self._others(need.model, state):
                    state.reconnect()
                if state.not_available is not None and not self._others(need.model, state):
                    raise state.not_available  # there is no other account to wait for
                return self._pool.lease(need.of(state))
            except (NoAccountAvailable, AccountRejected, InvalidRequest) as err:
                state.next_route(err)

    def _others(self, model: Model, state: RetryState) -> bool:
        """True if the route has accounts that the request has not tried."""
        route = state.route
        return self._pool.serves(route.upstream.name, model.name, route.model, skip=state.skip)

    def _may_retry(self, state: RetryState, err: GatewayError, account: str) -> bool:
        if not state.retryable(err, account):
            return False
        return err.fault is not Fault.VENDOR or self._budget.take()

    def _with_own_credential(
        self, route: Route, kind: Kind, caller: Caller, trace: Trace, call: Call[Generator[T]]
    ) -> Generator[T]:
        """The one attempt with the caller's own credential, whose owner hears the verdict.

        A second one follows a connection that closes as a request goes out that costs nothing.
        """
        account = _own_account(route, caller)
        trace.upstream, trace.account = route.upstream.name, account.name
        reconnects = kind not in _PAID
        while True:
            trace.attempts += 1
            try:
                with _guarded(route, account), closing(call(route, account)) as batches:
                    for batch in batches:
                        reconnects = False
                        yield batch
                return
            except GatewayError as err:
                closed = isinstance(err, UpstreamDisconnected)
                if not (closed and reconnects and self._budget.take()):
                    raise _own_error(err) from err
                reconnects = False


@contextmanager
def _guarded(route: Route, account: Account) -> Iterator[None]:
    """Turn a crash of an adapter, which a vendor's response of wrong types causes, into its error.

    Retries, the circuit breaker and the caller thereby see a failure of the vendor.
    """
    try:
        yield
    except _CRASHES as err:
        log.error("adapter_crashed", upstream=route.upstream.name, account=account.name, error=err)
        raise UpstreamInvalidResponse("The vendor's response makes no sense.", sent=True) from err


@dataclass(frozen=True, slots=True)
class _Need:
    """Need of one request for an account, the same for all of its attempts."""

    model: Model
    kind: Kind
    caller: Caller
    amount: int
    give_up_at: float
    conversation: str

    def of(self, state: RetryState) -> LeaseRequest:
        route = state.route
        return LeaseRequest(
            upstream=route.upstream.name,
            models=(self.model.name, route.model),
            kind=self.kind,
            caller=self.caller.owner,
            give_up_at=self.give_up_at,
            skip=state.skip,
            conversation=self.conversation,
            amount=self.amount,
        )


def _own_account(route: Route, caller: Caller) -> Account:
    assert caller.credential is not None
    return Account(OWN, route.upstream.name, caller.credential, own=True)


def _own_error(err: GatewayError) -> GatewayError:
    """The vendor's verdict on a credential, for its owner."""
    if isinstance(err, ModelRejected):
        return Forbidden("The vendor does not allow this credential this model.", param="model")
    if isinstance(err, AccountRejected):
        return InvalidApiKey("The vendor refused this credential.")
    if isinstance(err, AccountExhausted):
        unknown_s = UNKNOWN_QUOTA_S if err.fault is Fault.DAY_QUOTA else None
        return RateLimitExceeded(
            "The vendor says that this credential's quota is exhausted.",
            retry_after=err.retry_after or unknown_s,
        )
    return err
