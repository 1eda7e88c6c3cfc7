"""Synchronisation of the accounts' health between processes, through the database.

Changes are written, and those of others read, twice a second by a periodic task, so that all
processes know of a cooldown within a second. An ejection is written at once. While the
database is away each process goes by what it knows.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from threading import Lock

from gateway.domain.errors import Fault, StorageUnavailable
from gateway.runtime.interruption import shielded
from gateway.services.pool.health import (
    LONGEST_COOLDOWN_S,
    LONGEST_QUOTA_S,
    Health,
    ModelBlock,
    merge,
)
from gateway.services.pool.pooled_account import PooledAccount
from gateway.services.pool.registry import AccountRegistry
from gateway.storage.records.account_states import AccountState, AccountStateStore

EVERY_S = 0.5  # between two exchanges with the other processes


class HealthSync:
    def __init__(
        self,
        registry: AccountRegistry,
        store: AccountStateStore,
        lock: Lock,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """`lock` is the pool's, which guards the accounts."""
        self._registry = registry
        self._store = store
        self._lock = lock
        self._clock = clock
        self._wall_clock = wall_clock
        self._revision = 0
        self._unwritten: dict[PooledAccount, None] = {}

    def changed(self, pooled: PooledAccount, *, at_once: bool = False) -> None:
        """Have a change of health written, by the periodic task or `at_once`."""
        self._unwritten[pooled] = None
        if at_once:
            with shielded(), suppress(StorageUnavailable):
                self._write(pooled)

    def run(self) -> None:
        """Read the others' changes, then write those of this process. Raises StorageUnavailable."""
        self.read()
        for pooled in list(self._unwritten):
            self._write(pooled)

    def read(self) -> None:
        for revision, state in self._store.changes(self._revision):
            pooled = self._registry.by_key(state.account)
            if pooled is not None and revision > pooled.revision:
                with self._lock:
                    self._apply(pooled, _health(state, self._clock(), self._wall_clock()))
            self._revision = revision

    def read_all(self) -> None:
        """Have the next `read` take all states, for accounts that have come since."""
        self._revision = 0

    def reset(self, pooled: PooledAccount) -> None:
        """Forget what is held against an account, in all processes. Raises StorageUnavailable."""
        with self._lock:
            pooled.set_health(Health(changed_at=self._clock()))
            pooled.failures_in_a_row = 0
            self._registry.changes += 1
        self._write(pooled)

    def _apply(self, pooled: PooledAccount, health: Health) -> None:
        if pooled in self._unwritten:
            health = merge(health, pooled.health)
        newly_ejected = health.ejections and not pooled.health.ejections
        vendor = Fault.VENDOR.value
        if newly_ejected and health.eject_reason == vendor:
            if not self._registry.may_eject(pooled, vendor):
                health = replace(health, ejected_until=0.0, eject_reason="", ejections=0)
            pooled.failures_in_a_row = 0
        pooled.set_health(health)

    def _write(self, pooled: PooledAccount) -> None:
        self._unwritten.pop(pooled, None)
        state = _state(pooled.key, pooled.health, self._clock(), self._wall_clock())
        try:
            pooled.revision = max(pooled.revision, self._store.set(state))
        except BaseException:
            self._unwritten[pooled] = None
            raise


def _health(state: AccountState, now: float, wall_now: float) -> Health:
    """Health by the monotonic clock; no time lies farther ahead than the longest there is."""

    def until(at: float, longest_s: float) -> float:
        return now + min(at - wall_now, longest_s) if at > wall_now else 0.0

    day = state.cool_reason == Fault.DAY_QUOTA.value
    return Health(
        cool_until=until(state.cool_until, LONGEST_QUOTA_S if day else LONGEST_COOLDOWN_S),
        cool_reason=state.cool_reason,
        quota_failures=state.quota_failures,
        ejected_until=until(state.ejected_until, LONGEST_COOLDOWN_S),
        eject_reason=state.eject_reason,
        ejections=state.ejections,
        models={
            model: ModelBlock(until(at, LONGEST_QUOTA_S), reason)  # type: ignore[arg-type]
            for model, (at, reason) in state.models.items()
            if at > wall_now
        },
        changed_at=now - max(0.0, wall_now - state.changed_at),
    )


def _state(key: str, health: Health, now: float, wall_now: float) -> AccountState:
    def at(until: float) -> float:
        return wall_now + until - now if until > now else 0.0

    return AccountState(
        key,
        cool_until=at(health.cool_until),
        cool_reason=health.cool_reason,
        quota_failures=health.quota_failures,
        ejected_until=at(health.ejected_until),
        eject_reason=health.eject_reason,
        ejections=health.ejections,
        models={
            model: (at(block.until), block.reason)
            for model, block in health.models.items()
            if block.until > now
        },
        changed_at=wall_now - (now - health.changed_at),
    )
