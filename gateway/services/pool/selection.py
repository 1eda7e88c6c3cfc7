"""Which account is next: weighted turns among those that are free, the least busy first.

Accounts that are alike share a shelf, so that a choice costs the same whatever their
number. Nothing here locks or waits; the roster does the locking.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Collection, Iterable, Sequence
from heapq import heappop, heappush
from math import inf
from typing import NamedTuple, get_args

from gateway.domain.accounts import Account, Kind
from gateway.services.pool.health import NEW, Health, Outcomes, Uniform

PROOF_S = 1.0
_MOST_DENIED = 8  # models kept apart at once for being denied: callers may name any
_KINDS: frozenset[Kind] = frozenset(get_args(Kind))


class Member:
    """An account as this process knows it.

    What `back_at` reads changes only between `drop` and `place` of its shelves.
    """

    __slots__ = (
        "account",
        "cap",
        "changed",
        "contended_at",
        "denied",
        "health",
        "held_until",
        "in_flight",
        "key",
        "limited",
        "name",
        "on_trial",
        "outcomes",
        "revision",
        "saved",
        "shelves",
        "spent",
        "status",
        "tried_until",
    )

    def __init__(self, account: Account, status: str) -> None:
        self.account = account
        self.name = account.name
        # How it fares belongs to the credential: another one under this name begins anew.
        self.key = f"{account.name}@{account.secret.digest[:12]}"
        self.cap = account.max_in_flight
        self.status = status
        self.health: Health = NEW
        self.outcomes = Outcomes()
        self.in_flight = 0  # in this process
        self.on_trial = False  # a call of this process tries it out
        self.tried_until = 0.0  # until then it is left to the call that tries it out
        self.held_until = 0.0  # others have all of its places
        self.contended_at = -inf  # when others last had all of its places
        self.limited: dict[Kind, float] = {}  # until when its own limits rule a kind out
        self.spent: dict[str, float] = {}  # until when the vendor gives no more of a model
        self.denied: dict[str, float] = {}  # until when a model that it may not use is not tried
        self.shelves: tuple[Shelf, ...] = ()
        self.changed = self.saved = 0  # numbers of its last change here, and of what all know
        self.revision = 0  # of the last that was saved

    def back_at(self, kind: Kind | None, model: str = "") -> float:
        """When it can be lent again: the past for now, infinity when no clock can tell."""
        if self.cap is not None and self.in_flight >= self.cap:
            return inf
        health = self.health
        at = max(health.cool_until, health.circuit_until, self.held_until, self.tried_until)
        if kind is not None:
            at = max(at, self.limited.get(kind, 0.0))
        if model:
            at = max(at, self.apart_until(model))
        return at

    def apart_until(self, model: str) -> float:
        return max(self.spent.get(model, 0.0), self.denied.get(model, 0.0))

    def begin_trial(self, now: float) -> bool:
        """Whether the call that it was just lent to is to show, alone, how it fares.

        What failed is left to that call however long it takes. What nobody has used yet is
        left to it for `PROOF_S`, so that a slow vendor does not let calls in one by one.
        """
        if self.health.on_trial:
            self.tried_until = inf
        elif self.health.proven or self.tried_until > 0:
            return False
        else:
            self.tried_until = now + PROOF_S
        self.on_trial = True
        return True


class Likeness(NamedTuple):
    """What the accounts of one shelf have in common; `kind` where they have a limit on it."""

    upstream: str
    models: frozenset[str]
    weight: int
    limited: frozenset[str]
    kind: Kind | None
    model: str = ""  # one that some accounts have used up or are denied


class Shelf:
    """Accounts that are alike: the free ones by how busy they are, the others by their return."""

    __slots__ = ("_due", "_levels", "_resting", "_serial", "engaged", "free", "like", "members")

    def __init__(self, like: Likeness) -> None:
        self.like = like
        self.members: set[Member] = set()
        self.free = 0
        self.engaged: set[Member] = set()  # back at any moment, when a call ends
        self._levels: dict[int, OrderedDict[Member, None]] = {}  # by calls in flight
        self._resting: list[tuple[float, int, Member]] = []
        self._due: dict[Member, float] = {}  # the entry in `_resting` that counts
        self._serial = 0

    def drop(self, member: Member) -> None:
        """Before a change to the member, its calls in flight included."""
        level = self._levels.get(member.in_flight)
        if level is not None and member in level:
            del level[member]
            if not level:
                del self._levels[member.in_flight]
            self.free -= 1
        elif self.engaged:
            self.engaged.discard(member)

    def place(self, member: Member, now: float) -> None:
        """After the change: behind those that are as busy, or at rest."""
        at = member.back_at(self.like.kind, self.like.model)
        if at <= now:
            level = self._levels.get(member.in_flight)
            if level is None:
                level = self._levels[member.in_flight] = OrderedDict()
            level[member] = None
            self.free += 1
        else:
            if at in (inf, member.tried_until):
                self.engaged.add(member)
            if at < inf:
                self._rest(member, at)

    def wake(self, now: float) -> None:
        """Take those back whose rest is over."""
        resting = self._resting
        while resting and resting[0][0] <= now:
            at, _, member = heappop(resting)
            if self._due.get(member) == at:
                del self._due[member]
                self.drop(member)
                self.place(member, now)

    def first(self, skip: Collection[str]) -> Member | None:
        """The least busy that is free; of those the one that has waited longest."""
        levels = self._levels
        for busy in (min(levels),) if not skip else sorted(levels):
            for member in levels[busy]:
                if member.name not in skip:
                    return member
        return None

    def soonest(self) -> tuple[float, Member | None]:
        """When a resting one is back, and which."""
        resting = self._resting
        while resting:
            at, _, member = resting[0]
            back_at = member.back_at(self.like.kind, self.like.model)
            if self._due.get(member) == at == back_at:
                return at, member
            heappop(resting)
            if self._due.get(member) == at:
                del self._due[member]
                if at < back_at < inf:
                    self._rest(member, back_at)
        return inf, None

    def remove(self, member: Member) -> None:
        self.drop(member)
        self.members.discard(member)
        self._due.pop(member, None)

    def _rest(self, member: Member, until: float) -> None:
        if self._due.get(member, inf) > until:
            self._due[member] = until
            self._serial += 1
            heappush(self._resting, (until, self._serial, member))


class _Turn:
    __slots__ = ("due", "shelf")

    def __init__(self, shelf: Shelf, due: float) -> None:
        self.shelf = shelf
        self.due = due


def _due(turn: _Turn) -> float:
    return turn.due


class Rotation:
    """The shelves that can serve a request, each in turn as often as its weights are.

    Every turn of a shelf puts off its next one by 1 / (weight x free accounts).
    """

    __slots__ = ("_clock", "_turns", "shelves")

    def __init__(self, shelves: Sequence[Shelf], uniform: Uniform) -> None:
        self.shelves = tuple(shelves)
        # Processes begin at different places, or all would begin with the same account.
        self._turns = [_Turn(shelf, uniform(0.0, 1.0 / shelf.like.weight)) for shelf in shelves]
        self._clock = 0.0

    def choose(
        self, now: float, skip: Collection[str], *, only_look: bool = False
    ) -> Member | None:
        for shelf in self.shelves:
            shelf.wake(now)
        turns = [turn for turn in self._turns if turn.shelf.free]
        while turns:
            turn = min(turns, key=_due) if len(turns) > 1 else turns[0]
            shelf = turn.shelf
            member = shelf.first(skip)
            if member is not None and not only_look:
                self._clock = max(self._clock, turn.due)
                turn.due = self._clock + 1.0 / (shelf.like.weight * shelf.free)
            if member is not None:
                return member
            turns.remove(turn)
        return None

    def soonest(self) -> tuple[float, Member | None]:
        """When one that rests is back, and which; infinity and None when none rests."""
        best: tuple[float, Member | None] = (inf, None)
        for shelf in self.shelves:
            found = shelf.soonest()
            if found[0] < best[0]:
                best = found
        return best

    @property
    def engaged(self) -> bool:
        return any(shelf.engaged for shelf in self.shelves)

    def limits(self, kind: Kind) -> Collection[str]:
        """What limits its accounts have on a kind; "" where one has none."""
        members = (member for shelf in self.shelves for member in shelf.members)
        return {member.account.limits.get(kind, "") for member in members}

    def refused(self, now: float) -> bool:
        """Whether the vendor refuses every account's credential, be it for this model."""
        return all(
            m.health.quarantined or m.denied.get(shelf.like.model, 0.0) > now
            for shelf in self.shelves
            for m in shelf.members
        )


class Outlook(NamedTuple):
    """What can be expected of the accounts for a wish, none of which is free."""

    known: bool  # there are such accounts
    refused: bool  # and the vendor refuses all of them
    lacked: bool  # some because it has the model not for them
    back_in_s: float  # until the first is back by the clock, or infinity
    reason: str  # why that one rests
    engaged: bool  # one is back when a call ends
    tried: bool  # and that is expected at any moment
    limits: Collection[str] = ()  # where several are wanted at once, those of all accounts


class Choice:
    """All shelves, and the rotation for each upstream, kind and model."""

    def __init__(self, uniform: Uniform) -> None:
        self._uniform = uniform
        self._shelves: dict[Likeness, Shelf] = {}
        self._rotations: dict[tuple[str, Kind, tuple[str, ...], str], Rotation] = {}
        self._apart: set[str] = set()  # models that some accounts have used up or are denied
        self._named: Counter[str] = Counter()  # models that accounts are restricted to
        self.lacked: set[str] = set()  # of those apart, what the vendor has not for some accounts

    def add(self, member: Member, now: float) -> None:
        for model in ("", *self._apart):
            self._shelve(member, model, now)
        self._named.update(member.account.models)

    def _shelve(self, member: Member, model: str, now: float) -> None:
        account = member.account
        limited = frozenset(account.limits)
        kinds: list[Kind | None] = [kind for kind in _KINDS if kind in limited]
        if limited < _KINDS:
            kinds.append(None)
        for kind in kinds:
            like = Likeness(account.upstream, account.models, account.weight, limited, kind, model)
            shelf = self._shelves.get(like)
            if shelf is None:
                shelf = self._shelves[like] = Shelf(like)
                self._rotations.clear()
            shelf.members.add(member)
            member.shelves = (*member.shelves, shelf)
            shelf.place(member, now)

    def may_set_apart(self, model: str) -> bool:
        return model in self._apart or len(self._apart) < _MOST_DENIED

    def set_apart(self, model: str, members: Iterable[Member], now: float) -> None:
        """Give a model shelves of its own, on which those rest that cannot use it."""
        if model not in self._apart:
            self._apart.add(model)
            self._rotations.clear()
            for member in members:
                if member.shelves:
                    self._shelve(member, model, now)

    def rejoin(self, members: Collection[Member], now: float) -> None:
        """Undo that where all can use the model again."""
        over = {m for m in self._apart if all(x.apart_until(m) <= now for x in members)}
        if not over:
            return
        self._apart -= over
        self.lacked -= over
        self._rotations.clear()
        self._shelves = {k: shelf for k, shelf in self._shelves.items() if k.model not in over}
        for member in members:
            member.shelves = tuple(s for s in member.shelves if s.like.model not in over)
            for model in over:
                member.denied.pop(model, None)

    def remove(self, member: Member) -> None:
        for shelf in member.shelves:
            shelf.remove(member)
            if not shelf.members:
                del self._shelves[shelf.like]
                self._rotations.clear()
        member.shelves = ()
        self._named.subtract(member.account.models)

    def rotation(self, upstream: str, kind: Kind, models: Sequence[str]) -> Rotation:
        """The accounts for a model known by these names, the last of which is the vendor's."""
        named = tuple(model for model in models if self._named[model] > 0)
        apart = next((model for model in models[-1:] if model in self._apart), "")
        key = (upstream, kind, named, apart)
        rotation = self._rotations.get(key)
        if rotation is None:
            of_model = [s for like, s in self._shelves.items() if like.model == apart]
            shelves = [s for s in of_model if _fits(s.like, upstream, kind, named)]
            rotation = self._rotations[key] = Rotation(shelves, self._uniform)
        return rotation

    def serves(self, upstream: str, models: Sequence[str], skip: Collection[str]) -> bool:
        return any(
            member.name not in skip
            for kind in _KINDS
            for shelf in self.rotation(upstream, kind, models).shelves
            for member in shelf.members
        )

    def usable(self, now: float) -> bool:
        for shelf in self._shelves.values():
            shelf.wake(now)
        return any(shelf.free or shelf.engaged for shelf in self._shelves.values())


def _fits(like: Likeness, upstream: str, kind: Kind, models: Sequence[str]) -> bool:
    if like.upstream != upstream or like.kind != (kind if kind in like.limited else None):
        return False
    return not like.models or any(model in like.models for model in models)
