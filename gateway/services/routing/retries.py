"""Retries: the state of one request over its attempts, and the budget of all requests."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence

from gateway.domain.errors import (
    Fault,
    GatewayError,
    InvalidRequest,
    ModelNotAvailable,
    ModelRejected,
    UpstreamDisconnected,
    UpstreamTimeout,
)
from gateway.services.routing.catalog import Route

_QUOTA_FAULTS = frozenset({Fault.MINUTE_QUOTA, Fault.DAY_QUOTA})
_MAX_VENDOR_FAILURES = 2  # attempts that end in the vendor's own fault before giving up
_WINDOW_S = 10
_SHARE = 0.2
_FLOOR = 10  # retries per window that any process may make


class RetryState:
    """Decides after each failure whether another attempt is due.

    A failure of the vendor is tried once more, on another account. Accounts that refuse are
    replaced as long as there are others.
    """

    def __init__(self, routes: Sequence[Route], *, paid: bool) -> None:
        self._routes = list(routes)
        self.route = routes[0]
        self._paid = paid
        self._vendor_failures = 0
        self._vendor_failure: GatewayError | None = None
        self._soonest: GatewayError | None = None  # of the routes without an account
        self.not_available: ModelNotAvailable | None = None
        """Refusal of the route's model by an account that the vendor does not offer it."""
        self._lacks_model: set[str] = set()  # accounts that are skipped for this route only
        self.reconnects: str | None = None
        """Account whose connection closed as the request went out: on a new one it may answer."""
        self.skip: set[str] = set()

    def retryable(self, err: GatewayError, account: str) -> bool:
        """True if another account may serve the request after this error of `account`."""
        if self._paid and err.sent:
            return False
        if err.fault in _QUOTA_FAULTS:
            return True  # once it has cooled down, the same account may do
        if isinstance(err, ModelNotAvailable):
            self.not_available = err
        if isinstance(err, ModelNotAvailable | ModelRejected):
            self._lacks_model.add(account)
        if err.fault is Fault.ACCOUNT or isinstance(err, ModelNotAvailable):
            self.skip.add(account)
            return True
        if err.fault is not Fault.VENDOR or (isinstance(err, UpstreamTimeout) and err.sent):
            return False
        self.skip.add(account)
        if isinstance(err, UpstreamDisconnected) and not self._paid:
            self.reconnects = account
        self._vendor_failures += 1
        self._vendor_failure = self._vendor_failure or err
        return self._vendor_failures < _MAX_VENDOR_FAILURES

    def reconnect(self) -> None:
        """Allow the account whose connection closed once more."""
        self.skip.discard(self.reconnects or "")
        self.reconnects = None

    def next_route(self, err: GatewayError) -> None:
        """Go on where a route has no account; raise what that means after the last one."""
        known = self._soonest
        about_route = isinstance(err, InvalidRequest)
        if not about_route and (known is None or (err.retry_after or 0) < (known.retry_after or 0)):
            self._soonest = err
        if len(self._routes) == 1:
            # A vendor's failure is told; otherwise the caller learns when to come back.
            raise self._vendor_failure or self._soonest or err
        del self._routes[0]
        self.route = self._routes[0]
        self.skip -= self._lacks_model
        self._lacks_model.clear()
        self.not_available = None


class RetryBudget:
    """In any ten seconds, retries are at most a fifth of the requests, or ten."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seconds: deque[list[int]] = deque()  # each: the second, requests, retries

    def count_request(self) -> None:
        self._current()[1] += 1

    def take(self) -> bool:
        """Take one retry from the budget; False when none is left."""
        current = self._current()
        requests = sum(second[1] for second in self._seconds)
        retries = sum(second[2] for second in self._seconds)
        if retries >= max(_FLOOR, _SHARE * requests):
            return False
        current[2] += 1
        return True

    def _current(self) -> list[int]:
        now = int(self._clock())
        seconds = self._seconds
        if not seconds or seconds[-1][0] != now:
            seconds.append([now, 0, 0])
            while seconds[0][0] <= now - _WINDOW_S:
                seconds.popleft()
        return seconds[-1]
