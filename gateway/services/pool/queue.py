"""FIFO queue of the calls that wait for an account."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event
from typing import Generic, TypeVar

from gateway.domain.errors import NoAccountAvailable
from gateway.services.pool.pooled_account import LeaseRequest

_RETRY_S = 1.0
T = TypeVar("T")


@dataclass(slots=True, eq=False)
class Waiter(Generic[T]):
    """A call in the queue; `reserved` is what was reserved for it."""

    request: LeaseRequest
    reserved: T | None = None
    signal: Event = field(default_factory=Event)


class Queue(Generic[T]):
    """At most `max_waiting` calls, of which `max_per_caller` of one caller.

    The pool's lock guards it.
    """

    def __init__(self, *, max_waiting: int, max_per_caller: int) -> None:
        self._max_waiting = max_waiting
        self._max_per_caller = max_per_caller
        self.waiters: OrderedDict[Waiter[T], None] = OrderedDict()
        self._per_caller: Counter[str] = Counter()

    def __len__(self) -> int:
        return len(self.waiters)

    def join(self, waiter: Waiter[T]) -> None:
        """Raises NoAccountAvailable where the queue is full."""
        caller = waiter.request.caller
        if len(self) >= self._max_waiting or self._per_caller[caller] >= self._max_per_caller:
            raise NoAccountAvailable(
                "Too many requests wait for an account already; try again in 1 s.",
                retry_after=_RETRY_S,
            )
        self._per_caller[caller] += 1
        self.waiters[waiter] = None

    def leave(self, waiter: Waiter[T]) -> None:
        self.waiters.pop(waiter, None)
        caller = waiter.request.caller
        self._per_caller[caller] -= 1
        if not self._per_caller[caller]:
            del self._per_caller[caller]

    def rejoin(self, waiter: Waiter[T]) -> None:
        """Wait on in front: the account that was reserved could not be lent after all."""
        self.waiters[waiter] = None
        self.waiters.move_to_end(waiter, last=False)

    def wake(self) -> None:
        """Let all who wait look again whether it is worth it."""
        for waiter in self.waiters:
            waiter.signal.set()

    def offer(self, reserve: Callable[[LeaseRequest], T | None]) -> None:
        """Reserve accounts for those who wait, in their order, as far as there are any."""
        in_vain: set[tuple[str, tuple[str, ...], str]] = set()
        for waiter in list(self.waiters):
            request = waiter.request
            need = (request.upstream, request.models, request.kind)
            if need in in_vain:
                continue
            waiter.reserved = reserve(request)
            if waiter.reserved is not None:
                del self.waiters[waiter]
                waiter.signal.set()
            elif not (request.skip or request.lacks_room):
                in_vain.add(need)
