"""Waiting for an account that is not free, until it is one's own or there is no more time."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gateway.domain.errors import GatewayError
from gateway.services.pool.queue import Grant, Waiter, Wish
from gateway.services.pool.registry import Roster
from gateway.services.pool.reports import refusal

_LOOK_S = 0.2  # how often those who wait look for news of other processes
_LOOKING = 100  # of more who wait, each looks the less often
_TRIED_LOOK_S = 0.02  # the same, where others try out what they wait for


class Waiting:
    def __init__(
        self, roster: Roster, listen: Callable[[], None], *, clock: Callable[[], float]
    ) -> None:
        """`listen` takes over the news of other processes."""
        self._roster = roster
        self._listen = listen
        self._clock = clock

    def grants(self, wish: Wish, caller: str, give_up_at: float) -> Iterator[Grant]:
        """One account after another, as each turns out to be of no use, until `give_up_at`.

        Whoever takes one gives it back. Raises as `refusal` says when none comes in time.
        """
        waiter = Waiter(caller, wish)
        self._roster.join(waiter)
        yield self._granted(waiter, give_up_at)
        while self._clock() < give_up_at:
            self._roster.join(waiter, again=True)
            yield self._granted(waiter, give_up_at)
        raise self.refusal(wish)

    def refusal(self, wish: Wish) -> GatewayError:
        return refusal(self._roster.outlook(wish), wish)

    def _granted(self, waiter: Waiter, give_up_at: float) -> Grant:
        try:
            while (wait_s := self._wait_of(waiter, give_up_at)) > 0:
                waiter.signal.wait(wait_s)
                self._listen()
        except BaseException:
            grant = self._roster.leave(waiter)
            if grant is not None:
                self._roster.give_back(grant.member, trial=grant.trial)
            raise
        grant = self._roster.leave(waiter)
        if grant is None:
            raise self.refusal(waiter.wish)
        return grant

    def _wait_of(self, waiter: Waiter, give_up_at: float) -> float:
        """How long to wait before looking again; 0 where there is nothing to wait for."""
        outlook = self._roster.outlook(waiter.wish)
        if outlook.back_in_s <= 0:
            self._roster.offer()
        if waiter.granted is not None or waiter.sent_away:
            return 0.0
        left_s = give_up_at - self._clock()
        if left_s <= 0 or not (outlook.engaged or outlook.back_in_s < left_s):
            return 0.0
        look_s = _TRIED_LOOK_S if outlook.tried else _LOOK_S
        look_s *= max(1.0, self._roster.waiting / _LOOKING)
        return max(0.001, min(outlook.back_in_s, left_s, look_s))
