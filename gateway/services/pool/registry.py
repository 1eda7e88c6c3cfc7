"""The accounts in memory: who is free, who has them, who waits. One lock; nothing here waits."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace
from math import inf
from threading import Lock
from typing import NamedTuple

from gateway.domain.accounts import Account, Kind
from gateway.services.pool.health import (
    BREAKS_AT,
    NEW,
    WELL,
    Failure,
    Health,
    Uniform,
    from_state,
    mended,
    to_state,
    worse,
)
from gateway.services.pool.queue import Grant, Waiter, WaitingLine, Wish, why
from gateway.services.pool.selection import Choice, Member, Outlook
from gateway.storage.records.account_states import AccountState

OF_MODEL = "\n"  # between an account and a model in the name of a state

Change = Callable[[Member, Health], Health]


class Listed(NamedTuple):
    """An account and whether it takes new work; `account` is the same object until it changes."""

    account: Account
    status: str


class Obstacle(NamedTuple):
    """Why an account that was free cannot be lent, and for how long."""

    hold_s: float = 0.0
    contended: bool = False  # others have all of its places
    tried_s: float = 0.0  # another process tries it out
    limited: tuple[Kind, float] | None = None  # a kind whose limit is reached, and the seconds


class Roster:
    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        uniform: Uniform,
        most_waiting: int,
    ) -> None:
        self._clock = clock
        self._uniform = uniform
        self._lock = Lock()
        self._changes = 0
        self._members: dict[str, Member] = {}  # by name
        self._keys: dict[str, Member] = {}
        self._choice = Choice(uniform)
        self._line = WaitingLine(most_waiting)
        self._enabled: Counter[str] = Counter()  # by upstream
        self._ejected: Counter[str] = Counter()
        self._spent: dict[str, dict[str, float]] = {}  # by key: until when which models are
        self._health: dict[str, Health] = {}  # of accounts that are not known (yet), by key

    # -- who there is ------------------------------------------------------------------

    def install(self, accounts: Iterable[Listed]) -> None:
        """Make these the accounts. What is lent of a removed one is still given back."""
        wanted = {listed.account.name: listed for listed in accounts}
        with self._lock:
            for name, member in list(self._members.items()):
                listed = wanted.get(name)
                if listed is None or listed.account is not member.account:
                    self._retire(member)
                    self._health[member.key] = member.health
                    del self._members[name], self._keys[member.key]
            # Processes differ in their order, or all would begin with the same account.
            for name in sorted(wanted, key=lambda _: self._uniform(0.0, 1.0)):
                if name not in self._members:
                    fresh = Member(wanted[name].account, "new")
                    fresh.health = self._health.pop(fresh.key, NEW)
                    fresh.spent = self._spent.setdefault(fresh.key, {})
                    self._members[name] = self._keys[fresh.key] = fresh
                    self._set_apart(fresh)
                self._set_status(self._members[name], wanted[name].status)
            self._offer()

    def _set_apart(self, fresh: Member) -> None:
        """What it had used up before it was removed, nobody may have kept apart since."""
        now = self._clock()
        for model, until in fresh.spent.items():
            if until > now:
                self._choice.set_apart(model, self._members.values(), now)

    def get(self, name: str) -> Account | None:
        member = self._members.get(name)
        return None if member is None else member.account

    def find(self, name: str) -> Member | None:
        return self._members.get(name)

    def members(self) -> list[Member]:
        with self._lock:
            return list(self._members.values())

    @property
    def empty(self) -> bool:
        return not self._members

    @property
    def waiting(self) -> int:
        return len(self._line)

    def serves(self, upstream: str, models: tuple[str, ...], skip: Collection[str]) -> bool:
        with self._lock:
            return self._choice.serves(upstream, models, skip)

    def usable(self) -> bool:
        with self._lock:
            return self._choice.usable(self._clock())

    def _set_status(self, member: Member, status: str) -> None:
        was, member.status = member.status, status
        if status == "enabled" and was != "enabled":
            self._choice.add(member, self._clock())
            self._enabled[member.account.upstream] += 1
            self._ejected[member.account.upstream] += member.health.ejected
        elif was == "enabled" and status != "enabled":
            self._retire(member)

    def _retire(self, member: Member) -> None:
        if member.shelves:
            self._choice.remove(member)
            self._enabled[member.account.upstream] -= 1
            self._ejected[member.account.upstream] -= member.health.ejected

    # -- who has them ------------------------------------------------------------------

    def peek(self, wish: Wish) -> Account | None:
        """Who would be next; nothing changes hands."""
        with self._lock:
            rotation = self._choice.rotation(wish.upstream, wish.kind, wish.models)
            member = rotation.choose(self._clock(), wish.skip, only_look=True)
            return None if member is None else member.account

    def reserve(self, wish: Wish) -> Grant | None:
        """Take an account that is free, and that nobody who waits wants."""
        with self._lock:
            if self._line:
                self._offer()
            return self._reserve(wish)

    def _reserve(self, wish: Wish) -> Grant | None:
        now = self._clock()
        rotation = self._choice.rotation(wish.upstream, wish.kind, wish.models)
        member = rotation.choose(now, wish.skip)
        if member is None:
            return None
        self._lift(member)
        member.in_flight += 1
        trial = member.health is not WELL and member.begin_trial(now)
        for shelf in member.shelves:
            shelf.place(member, now)
        return Grant(member, now, trial)

    def visit(self, member: Member) -> Grant | None:
        """As `reserve`, to ask about work that the account has in hand; None while it rests."""
        with self._lock:
            now, health = self._clock(), member.health
            if health.unasked_until > now or (health.quarantined and member.tried_until > now):
                return None
            self._lift(member)
            member.in_flight += 1
            trial = health.quarantined and member.begin_trial(now)
            for shelf in member.shelves:
                shelf.place(member, now)
            return Grant(member, now, trial)

    def give_back(self, member: Member, *, trial: bool, obstacle: Obstacle | None = None) -> None:
        """End what `reserve` began; a wait for it goes to whoever is first in line."""
        with self._lock:
            self._lift(member)
            member.in_flight -= 1
            if trial:
                member.on_trial = False
            if trial or member.in_flight == 0:
                member.tried_until = 0.0
            if obstacle is not None:
                now = self._clock()
                if obstacle.tried_s and (member.health.on_trial or not member.health.proven):
                    member.tried_until = now + obstacle.tried_s
                member.held_until = max(member.held_until, now + obstacle.hold_s)
                if obstacle.contended:
                    member.contended_at = now
                if obstacle.limited is not None:
                    kind, wait_s = obstacle.limited
                    member.limited[kind] = now + wait_s
            self._place(member)

    def put_aside(self, grant: Grant, model: str) -> bool:
        """Whether an account that was free when it was taken is not any more."""
        health, now = grant.member.health, self._clock()
        until = max(health.cool_until, health.circuit_until, grant.member.apart_until(model))
        return until > now or (health.on_trial and not grant.trial)

    def end_trial(self, member: Member) -> None:
        """Let others have the account, while the call that tried it out goes on."""
        with self._lock:
            self._lift(member)
            member.on_trial = False
            member.tried_until = 0.0
            self._place(member)

    def _lift(self, member: Member) -> None:
        for shelf in member.shelves:
            shelf.drop(member)

    def _place(self, member: Member) -> None:
        """Put it where it belongs now, or give it to one who waits."""
        now = self._clock()
        for shelf in member.shelves:
            shelf.place(member, now)
        if self._line:
            self._offer()

    # -- who waits ---------------------------------------------------------------------

    def join(self, waiter: Waiter, *, again: bool = False) -> None:
        """Stand in line; `again`: in front, because what was granted was of no use."""
        with self._lock:
            self._line.join(waiter, again=again)
            self._offer()

    def leave(self, waiter: Waiter) -> Grant | None:
        """Give up a place in the line; returns what was granted meanwhile."""
        with self._lock:
            self._line.leave(waiter)
            return waiter.granted

    def offer(self) -> None:
        """Serve those who wait with what time has brought back."""
        with self._lock:
            self._offer()

    def _offer(self) -> None:
        self._line.offer(self._reserve)

    def outlook(self, wish: Wish) -> Outlook:
        with self._lock:
            rotation = self._choice.rotation(wish.upstream, wish.kind, wish.models)
            at, member = rotation.soonest()
            now = self._clock()
            return Outlook(
                known=bool(rotation.shelves),
                refused=rotation.refused(now),
                lacked=wish.models[-1] in self._choice.lacked,
                back_in_s=max(0.0, at - now) if at < inf else inf,
                reason="" if member is None else why(member, wish),
                engaged=rotation.engaged,
                tried=member is not None and at == member.tried_until,
                limits=rotation.limits(wish.kind) if wish.amount > 1 else (),
            )

    # -- how they fare -----------------------------------------------------------------

    def answered(self, member: Member, picked_at: float) -> Change | None:
        """Count an answer; returns the change that all processes should hear of, if any."""
        member.outcomes.add(self._clock(), good=True)
        if member.health is WELL:
            return None

        def change(_: Member, health: Health) -> Health:
            return mended(health, picked_at=picked_at)

        return change if self.change(member, change) else None

    def failed(self, member: Member, failure: Failure) -> Change | None:
        """As `answered`, for an error."""
        if failure.of_vendor:
            member.outcomes.add(failure.at, good=False)

        def change(member: Member, health: Health) -> Health:
            return failure.worsen(
                health,
                uniform=self._uniform,
                may_eject=self._may_eject(member),
                mostly_bad=member.outcomes.mostly_bad,
            )

        return change if self.change(member, change) else None

    def change(self, member: Member, change: Change) -> bool:
        """Whether the change made a difference, which is then to be told to the others."""
        with self._lock:
            health = change(member, member.health)
            if health is member.health or health == member.health:
                return False
            self._set_health(member, health)
            self._changes += 1
            member.changed = self._changes
            return True

    @property
    def changes(self) -> int:
        """How many changes of health this process has made."""
        return self._changes

    def apply(self, states: Iterable[AccountState], *, as_of: int) -> None:
        """Take over what other processes found out, read when there were `as_of` changes."""
        with self._lock:
            now = self._clock()
            for state in states:
                health = from_state(state, now)
                key, _, model = state.account.partition(OF_MODEL)
                if model:
                    self._spend(key, model, health.cool_until)
                    continue
                member = self._keys.get(key)
                if member is None:
                    self._health[state.account] = health
                    continue
                if member.changed > min(member.saved, as_of):
                    health = worse(health, member.health)
                if health.ejected and not (member.health.ejected or self._may_eject(member)):
                    health = replace(health, circuit_failures=BREAKS_AT - 1, circuit_until=0.0)
                self._set_health(member, health)

    def spend(self, member: Member, model: str, until: float) -> None:
        """The account has used a model up."""
        with self._lock:
            self._spend(member.key, model, until)

    def _spend(self, key: str, model: str, until: float) -> None:
        spent = self._spent.setdefault(key, {})
        member = self._keys.get(key)
        self._choice.set_apart(model, self._members.values(), self._clock())
        if member is None:
            spent[model] = until
            return
        self._lift(member)
        spent[model] = until
        self._place(member)

    def deny(self, member: Member, model: str, until: float, *, lacks: bool) -> None:
        """The vendor does not allow the account a model, or has it not for this account."""
        with self._lock:
            if self._choice.may_set_apart(model):
                self._choice.set_apart(model, self._members.values(), self._clock())
                if lacks:
                    self._choice.lacked.add(model)
                self._lift(member)
                member.denied[model] = until
                self._place(member)

    def tidy(self) -> None:
        with self._lock:
            self._choice.rejoin(self._members.values(), self._clock())

    def state_of(self, member: Member) -> tuple[AccountState, int]:
        """Its health to be stored, and the number of the change that this includes."""
        with self._lock:
            return to_state(member.key, member.health, self._clock()), member.changed

    def _set_health(self, member: Member, health: Health) -> None:
        if member.shelves:
            self._ejected[member.account.upstream] += health.ejected - member.health.ejected
        if health.ejected and not member.health.ejected:
            member.outcomes.clear()
        was, member.health = member.health, health
        rests = health.cool_until, health.circuit_until, 0.0
        fresh = health == NEW and bool(member.denied)
        if rests == (was.cool_until, was.circuit_until, member.tried_until) and not fresh:
            return  # and keeps its place among the others
        self._lift(member)
        if fresh:
            member.denied.clear()
        if not member.on_trial:
            member.tried_until = 0.0
        self._place(member)

    def _may_eject(self, member: Member) -> bool:
        """Never more than half of an upstream: its accounts may all suffer from one incident."""
        upstream = member.account.upstream
        return 2 * (self._ejected[upstream] + 1) <= self._enabled[upstream]
