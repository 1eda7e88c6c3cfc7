"""Requests that wait for an account: callers take turns, however many requests each has."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from math import inf
from threading import Event as Signal
from typing import NamedTuple

from gateway.domain.accounts import Kind
from gateway.services.pool.selection import Member


class Wish(NamedTuple):
    """What a request needs an account for. `skip` names those that are of no use to it."""

    upstream: str
    models: tuple[str, ...]  # its names, the last of which is the vendor's
    kind: Kind
    skip: Collection[str]
    amount: int = 1  # of what accounts are limited in
    short: dict[str, float] | None = None  # skipped for lack of room: seconds until there is more

    def of_many(self, amount: int) -> Wish:
        """For so many at once. Accounts that turn out to have room for fewer are skipped."""
        short = dict.fromkeys(self.skip, inf)
        return self._replace(skip=short.keys(), amount=amount, short=short)

    @property
    def short_s(self) -> float:
        return min(self.short.values(), default=inf) if self.short else inf


class Grant(NamedTuple):
    """An account that was taken for a request."""

    member: Member
    at: float
    trial: bool  # to be tried out, so nobody else in this process has it


def why(member: Member, wish: Wish) -> str:
    """What keeps an account from a wish for longest."""
    health = member.health
    until = {
        health.reason: health.cool_until,
        "vendor": health.circuit_until,
        "busy": member.held_until,
        "limit": member.limited.get(wish.kind, 0.0),
        "model": member.spent.get(wish.models[-1], 0.0),
        "denied": member.denied.get(wish.models[-1], 0.0),
    }
    return max(until, key=lambda reason: until[reason])


@dataclass(slots=True, eq=False)
class Waiter:
    caller: str
    wish: Wish
    granted: Grant | None = None
    sent_away: bool = False
    signal: Signal = field(default_factory=Signal)


class WaitingLine:
    """At most `most` requests. The roster's lock guards it."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = 0
        self._callers: OrderedDict[str, deque[Waiter]] = OrderedDict()

    def __len__(self) -> int:
        return self._size

    def join(self, waiter: Waiter, *, again: bool = False) -> None:
        """Where there is no room, the last one of the caller with most of them is sent away."""
        waiter.granted = None
        waiter.signal.clear()
        waiting = self._callers.setdefault(waiter.caller, deque())
        if again:
            waiting.appendleft(waiter)
            self._callers.move_to_end(waiter.caller, last=False)
        else:
            waiting.append(waiter)
        self._size += 1
        if self._size > self._most:
            most = max(map(len, self._callers.values()))
            longest = waiting if len(waiting) == most else self._longest(most)
            last = longest[-1]
            self.leave(last)
            last.sent_away = True
            last.signal.set()

    def _longest(self, size: int) -> deque[Waiter]:
        return next(waiting for waiting in self._callers.values() if len(waiting) == size)

    def leave(self, waiter: Waiter) -> None:
        waiting = self._callers.get(waiter.caller)
        if waiting is not None and waiter in waiting:
            waiting.remove(waiter)
            self._size -= 1
            if not waiting:
                del self._callers[waiter.caller]

    def offer(self, serve: Callable[[Wish], Grant | None]) -> None:
        """Give accounts to those who wait, one per caller and round, until none is left."""
        served = self._size > 0
        refused: set[tuple[str, tuple[str, ...], Kind]] = set()
        while served:
            served = False
            for caller in list(self._callers):
                served |= self._serve_one(caller, serve, refused)

    def _serve_one(
        self,
        caller: str,
        serve: Callable[[Wish], Grant | None],
        refused: set[tuple[str, tuple[str, ...], Kind]],
    ) -> bool:
        """`refused` is what there is no account for: a thousand may wait for the same."""
        for waiter in self._callers[caller]:
            wish = waiter.wish
            key = wish[:3]
            if key in refused:
                continue
            granted = serve(wish)
            if granted is not None:
                waiter.granted = granted
                self.leave(waiter)
                if caller in self._callers:
                    self._callers.move_to_end(caller)
                waiter.signal.set()
                return True
            if not wish.skip:
                refused.add(key)
        return False
