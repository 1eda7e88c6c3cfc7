"""What one process learns of an account, all of them know: through the database, at once.

A bell tells the processes of one machine that there is news, before their next choice;
other machines look every second. Without the database each process goes by what it knows.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock

from gateway.domain.errors import Fault, StorageUnavailable
from gateway.runtime.interruption import shielded
from gateway.runtime.logs import log
from gateway.services.pool.health import LONGEST_SPENT_S, NEW, SPENT_S, Health
from gateway.services.pool.registry import OF_MODEL, Change, Roster
from gateway.services.pool.selection import PROOF_S, Member
from gateway.storage.db.bell import Bell
from gateway.storage.records.account_states import AccountState, AccountStateStore

TOPIC = "account_states"
_AWAY_S = 5.0  # how long requests are spared a database that has failed
_TRIES = 8
_TRIAL_S = 90.0  # what the call that tries an account out has to show how it went


class Sharing:
    def __init__(
        self,
        roster: Roster,
        store: AccountStateStore,
        bell: Bell,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._roster = roster
        self._store = store
        self._bell = bell
        self._clock = clock
        self._reading = Lock()
        self._version = 0
        self._heard = -1
        self._away_until = 0.0
        self._unsaved: dict[Member, None] = {}

    def listen(self) -> None:
        """Take over the others' news, if there is any."""
        rung = self._bell.rung(TOPIC)
        if rung > self._heard and self._clock() >= self._away_until:
            with self._reading:
                # Another may have read it, or failed to, while this one waited.
                if rung > self._heard and self._clock() >= self._away_until:
                    self._guarded(self._read)

    def poll(self) -> None:
        """Look for news of other machines, and tell what could not be told before."""
        with self._reading:
            self._guarded(self._read)
        for member in list(self._unsaved):
            self._save(member, _unchanged)

    def look(self) -> None:
        """Look for news of other machines before a request goes on."""
        if self._clock() >= self._away_until:
            with self._reading:
                if self._clock() >= self._away_until:
                    self._guarded(self._read)

    def tell(self, member: Member, change: Change) -> None:
        """Tell all processes of a change that the roster has made already."""
        if self._clock() < self._away_until:
            self._unsaved[member] = None
            return
        with shielded():
            self._save(member, change)

    def may_try(self, member: Member) -> bool:
        """Whether this process is the one to try out an account; if not, it has its news."""
        if self._clock() < self._away_until or member.changed > member.saved:
            return True
        ttl_s = _TRIAL_S if member.health.on_trial else PROOF_S
        try:
            seen = max(self._version, member.revision)
            if self._store.probe(member.key, ttl_s=ttl_s, seen=seen):
                return True
        except StorageUnavailable as err:
            self._lost(err)
            return True
        self.look()
        return False

    def trial_ended(self, member: Member) -> None:
        """Let another call try: this one showed nothing."""
        self.tell(member, _unchanged)

    def spend(self, member: Member, model: str, rest_s: float | None) -> None:
        """Keep a model from the account that has used it up, in all processes."""
        rest_s = min(rest_s or SPENT_S, LONGEST_SPENT_S)
        log.warning("model_used_up", account=member.name, model=model[:256], back_in_s=rest_s)
        self._roster.spend(member, model, self._clock() + rest_s)
        state = AccountState(member.key + OF_MODEL + model, rest_s, Fault.DAY_QUOTA.value)
        if self._clock() >= self._away_until:
            with shielded():
                self._guarded(lambda: self._put(state))

    def reset(self, member: Member) -> None:
        """Make the account one that nothing is known of, for all. Raises StorageUnavailable."""
        self._store.clear(member.key)
        for model in list(member.spent):
            self._store.clear(member.key + OF_MODEL + model)
            self._roster.spend(member, model, 0.0)
        self._roster.change(member, lambda *_: NEW)
        member.saved = member.changed
        self._bell.ring(TOPIC)

    def _put(self, state: AccountState, *, seen: int | None = None) -> int | None:
        revision = self._store.set(state, seen=seen)
        if revision is not None:
            self._heard_own(revision, self._bell.ring(TOPIC))
        return revision

    def _save(self, member: Member, change: Change) -> None:
        self._unsaved.pop(member, None)
        if not self._guarded(lambda: self._write(member, change)):
            self._unsaved[member] = None

    def _write(self, member: Member, change: Change) -> None:
        for _ in range(_TRIES):
            seen = max(self._version, member.revision)  # first: the state has at least that
            state, number = self._roster.state_of(member)
            revision = self._put(state, seen=seen)
            if revision is not None:
                member.saved = max(member.saved, number)
                member.revision = max(member.revision, revision)
                return
            # Another process was faster: its news first, then this change on top of it.
            with self._reading:
                self._read()
            self._roster.change(member, change)
        self._unsaved[member] = None

    def _read(self) -> None:
        heard = self._bell.rung(TOPIC)
        as_of = self._roster.changes
        states, version = self._store.changes(self._version)
        self._roster.apply(states, as_of=as_of)
        self._version, self._heard = version, heard

    def _heard_own(self, revision: int, rung: int) -> None:
        """Spare the next choice a look at what this process has written itself."""
        if self._reading.acquire(blocking=False):
            if revision == self._version + 1 and rung == self._heard + 1:
                self._version, self._heard = revision, rung
            self._reading.release()

    def _guarded(self, work: Callable[[], object]) -> bool:
        try:
            work()
        except StorageUnavailable as err:
            self._lost(err)
            return False
        self._away_until = 0.0
        return True

    def _lost(self, err: StorageUnavailable) -> None:
        if self._clock() >= self._away_until:
            log.warning("account_states_unshared", message=err.message)
        self._away_until = self._clock() + _AWAY_S


def _unchanged(member: Member, health: Health) -> Health:
    return health
