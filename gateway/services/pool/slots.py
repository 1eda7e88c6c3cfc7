"""Slots of accounts and keys that have `max_in_flight`, exact over processes and machines."""

from __future__ import annotations

import math
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress

from gateway.domain.errors import StorageUnavailable
from gateway.runtime.interruption import shielded
from gateway.services.pool.health import Uniform
from gateway.storage.db.processes import Processes
from gateway.storage.records.slots import SlotStore

_RETRY_S = (0.02, 0.08)  # before an account whose slots others hold is asked again
_FULL_LATELY_S = 1.0


class Slots:
    """A slot is a count in the row of this process; what a dead process held is free."""

    def __init__(
        self,
        store: SlotStore,
        processes: Processes,
        *,
        clock: Callable[[], float] = time.monotonic,
        uniform: Uniform = random.uniform,
    ) -> None:
        self._store = store
        self._processes = processes
        self._clock = clock
        self._uniform = uniform
        self._unreleased: Counter[str] = Counter()

    def acquire(self, name: str, cap: int, *, full_until: float = -math.inf) -> float | None:
        """Take one of `cap` slots; where all are taken, the seconds until to ask again.

        `name` is an account's, or a key's owner. Raises StorageUnavailable.
        """
        full_lately = self._clock() - full_until < _FULL_LATELY_S
        full_s: float | None = 0.0
        try:
            with shielded():
                full_s = self._acquire(name, cap, look_first=full_lately)
        except BaseException:
            if full_s is None:  # the caller left while the slot was taken
                self.release(name)
            raise
        return full_s

    def release(self, name: str) -> None:
        with shielded():
            self._unreleased[name] += 1
            with suppress(StorageUnavailable):
                self.flush()

    def flush(self) -> None:
        """Give back what could not be given back before. Raises StorageUnavailable."""
        for account in list(self._unreleased):
            count = self._unreleased.pop(account, 0)
            try:
                self._store.release(account, self._processes.id, count)
            except BaseException:
                self._unreleased[account] += count
                raise

    def _acquire(self, account: str, cap: int, *, look_first: bool) -> float | None:
        process = self._processes.register()
        if look_first:  # where there is hardly ever room, looking is cheaper than counting
            holders = self._living(account)
            if sum(holders.values()) >= cap:
                return self._retry_in_s(holders)
        self._store.add(account, process)
        try:
            holders = self._living(account)
        except BaseException:
            self._unreleased[account] += 1
            raise
        if sum(holders.values()) <= cap:
            return None
        self.release(account)
        return self._retry_in_s(holders)

    def _living(self, account: str) -> dict[str, int]:
        """Calls in flight by process; the slots of dead processes are freed."""
        holders = self._store.holders(account)
        dead = self._processes.dead(holders)
        if dead:
            self._store.free(account, dead)
        return {process: count for process, count in holders.items() if process not in dead}

    def _retry_in_s(self, holders: Mapping[str, int]) -> float:
        """A moment, unless every holder is silent: then until the first is declared dead."""
        silent_s = [
            self._processes.dead_in_s([process])
            for process in holders
            if process != self._processes.id
        ]
        dead_in_s = [left_s for left_s in silent_s if left_s is not None]
        if dead_in_s and len(dead_in_s) == len(holders.keys() - {self._processes.id}):
            return max(_RETRY_S[0], min(dead_in_s))
        return self._uniform(*_RETRY_S)
