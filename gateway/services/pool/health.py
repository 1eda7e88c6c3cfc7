"""How an account fares, and what a failure or an answer makes of it.

Only the fault of an error counts. Times are those of one monotonic clock.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from gateway.domain.errors import (
    Fault,
    GatewayError,
    JobFailed,
    ModelNotOpen,
    ModelRejected,
    ModelSpent,
)
from gateway.storage.records.account_states import AccountState

Uniform = Callable[[float, float], float]

BREAKS_AT = 5  # failures of the vendor in a row that open an account's circuit
_LONGEST_COOL_S = 3600.0  # also in quarantine
_LONGEST_BACKOFF_S = 60.0
_SHORTEST_BACKOFF_S = 0.1
SPENT_S = 3600.0  # where the vendor does not say when its quota begins anew
LONGEST_SPENT_S = 31 * 86400.0
QUARANTINE_S = 300.0
_OPEN_S = 30.0
_LONGEST_OPEN_S = 600.0
_ROUNDED_S = 0.002  # a database's clock may count in milliseconds, and no rest ends early
_SLICE_S = 5.0
_SLICES = 6
_FEW = 20


@dataclass(frozen=True, slots=True)
class Health:
    """Of an account that nothing is known of by default.

    `proven`: the vendor has accepted its credential. `failures` counts quota failures in a
    row, or quarantines while `quarantined`; `circuit_failures` those of the vendor, whose
    circuit is not closed from `BREAKS_AT` on.
    """

    cool_until: float = 0.0
    reason: str = ""
    failures: int = 0
    quarantined: bool = False
    circuit_failures: int = 0
    circuit_until: float = 0.0
    put_aside_at: float = 0.0  # calls that were under way then prove nothing any more
    proven: bool = False

    @property
    def ejected(self) -> bool:
        return self.circuit_failures >= BREAKS_AT

    @property
    def on_trial(self) -> bool:
        """Whether, its time being over, one call is to show how it fares."""
        return self.quarantined or self.circuit_failures >= BREAKS_AT

    @property
    def unasked_until(self) -> float:
        """When it may be asked again about work that it has in hand.

        A quota of the day and an open circuit are about new work only.
        """
        if self.reason != Fault.DAY_QUOTA.value:
            return self.cool_until
        return self.put_aside_at + _quarantine_s(self.failures) if self.quarantined else 0.0

    def aside(self, now: float) -> bool:
        """Whether it is out of the common rotation."""
        return self.on_trial or self.cool_until > now

    def longer(self, until: float, reason: str) -> tuple[float, str]:
        """The rest that ends later, of its own and this one, and why."""
        return (self.cool_until, self.reason) if self.cool_until > until else (until, reason)


NEW = Health()
WELL = Health(proven=True)


class Outcomes:
    """How the calls of the last half minute ended."""

    __slots__ = ("_bad", "_good", "_slice")

    def __init__(self) -> None:
        self._slice = 0
        self.clear()

    def clear(self) -> None:
        self._good, self._bad = [0] * _SLICES, [0] * _SLICES

    def add(self, now: float, *, good: bool) -> None:
        current = int(now / _SLICE_S)
        if current != self._slice:
            for passed in range(max(self._slice + 1, current - _SLICES + 1), current + 1):
                self._good[passed % _SLICES] = self._bad[passed % _SLICES] = 0
            self._slice = current
        (self._good if good else self._bad)[current % _SLICES] += 1

    @property
    def mostly_bad(self) -> bool:
        bad = sum(self._bad)
        return bad >= _FEW / 2 and bad + sum(self._good) >= _FEW and bad >= sum(self._good)


@dataclass(frozen=True, slots=True)
class Failure:
    """A call that failed, and when it had begun."""

    error: GatewayError
    picked_at: float
    at: float
    model: str = ""  # that it was for; "" where it asked about work in hand

    @property
    def of_vendor(self) -> bool:
        """A job that failed was answered for; it says nothing of how the vendor fares."""
        return self.error.fault is Fault.VENDOR and not isinstance(self.error, JobFailed)

    @property
    def denies_model(self) -> bool:
        return bool(self.model) and isinstance(self.error, ModelRejected | ModelNotOpen)

    def worsen(
        self, health: Health, *, uniform: Uniform, may_eject: bool, mostly_bad: bool
    ) -> Health:
        """What it makes of the account. Faults of callers, contents and the gateway: nothing.

        `may_eject` tells whether enough others would be left, should the circuit open.
        """
        fault = self.error.fault
        stale = self.picked_at < health.put_aside_at and health.aside(self.at)
        if isinstance(self.error, ModelSpent) or self.denies_model:
            return mended(health, picked_at=self.picked_at)
        if fault in (Fault.MINUTE_QUOTA, Fault.DAY_QUOTA):
            return self._cooled(health, uniform, stale=stale)
        if fault is Fault.ACCOUNT:
            return health if stale and health.quarantined else self._quarantined(health)
        if self.of_vendor and not (stale and health.ejected):
            return self._counted(health, may_eject=may_eject, mostly_bad=mostly_bad)
        return health

    def _cooled(self, health: Health, uniform: Uniform, *, stale: bool) -> Health:
        asked_s = self.error.retry_after
        if asked_s is not None and not asked_s > 0:
            asked_s = None
        failures = health.failures
        if self.error.fault is Fault.DAY_QUOTA:
            pause_s = min(asked_s or SPENT_S, LONGEST_SPENT_S)
        elif asked_s is not None:
            pause_s = min(asked_s, _LONGEST_COOL_S)
        elif stale:
            return health  # the same incident, for which it cools already
        else:
            pause_s = _backoff_s(1.0, failures, _LONGEST_BACKOFF_S)
            pause_s = max(_SHORTEST_BACKOFF_S, uniform(0.0, pause_s))
        until, reason = health.longer(self.at + pause_s, self.error.fault.value)
        if stale:
            return replace(health, cool_until=until, reason=reason)
        return Health(until, reason, failures + 1, put_aside_at=self.at, proven=True)

    def _quarantined(self, health: Health) -> Health:
        failures = health.failures + 1 if health.quarantined else 1
        until, reason = health.longer(self.at + _quarantine_s(failures), Fault.ACCOUNT.value)
        return Health(until, reason, failures, quarantined=True, put_aside_at=self.at)

    def _counted(self, health: Health, *, may_eject: bool, mostly_bad: bool) -> Health:
        failures = health.circuit_failures + 1
        if mostly_bad:
            failures = max(failures, BREAKS_AT)
        if failures < BREAKS_AT:
            return replace(health, circuit_failures=failures)
        if not (may_eject or health.ejected):
            return replace(health, circuit_failures=BREAKS_AT - 1)
        pause_s = _backoff_s(_OPEN_S, failures - BREAKS_AT, _LONGEST_OPEN_S)
        return replace(
            health,
            circuit_failures=failures,
            circuit_until=self.at + pause_s,
            put_aside_at=self.at,
        )


def mended(health: Health, *, picked_at: float) -> Health:
    """What an answer makes of the account; `health` itself when there is nothing to clear."""
    if health is WELL:
        return health
    if picked_at >= health.put_aside_at:
        if health.quarantined and health.reason != Fault.ACCOUNT.value:
            # The credential is good, which says nothing of the quota for which it rests.
            since = health.put_aside_at
            return Health(health.cool_until, health.reason, put_aside_at=since, proven=True)
        return WELL
    if 0 < health.circuit_failures < BREAKS_AT:
        return replace(health, circuit_failures=0, proven=True)
    return health


def worse(one: Health, other: Health) -> Health:
    """Both at once: what two processes found out without knowing of each other."""
    until, reason = one.longer(other.cool_until, other.reason)
    return Health(
        cool_until=until,
        reason=reason,
        failures=max(one.failures, other.failures),
        quarantined=one.quarantined or other.quarantined,
        circuit_failures=max(one.circuit_failures, other.circuit_failures),
        circuit_until=max(one.circuit_until, other.circuit_until),
        put_aside_at=max(one.put_aside_at, other.put_aside_at),
        proven=one.proven or other.proven,
    )


def from_state(state: AccountState, now: float) -> Health:
    """What another process wrote, as of now."""
    longest_s = LONGEST_SPENT_S if state.reason == Fault.DAY_QUOTA.value else _LONGEST_COOL_S
    health = Health(
        cool_until=_until(now, state.cool_s, longest_s),
        reason=state.reason,
        failures=state.failures,
        quarantined=state.quarantined,
        circuit_failures=state.circuit_failures,
        circuit_until=_until(now, state.circuit_s, _LONGEST_OPEN_S),
        proven=state.proven,
    )
    if health == WELL:
        return WELL
    return replace(health, put_aside_at=now) if health.aside(now) else health


def _until(now: float, left_s: float, longest_s: float) -> float:
    """When a stored rest ends; at once where it is so long that the clock was set back."""
    return now + left_s + _ROUNDED_S if 0 < left_s <= longest_s + 1 else 0.0


def to_state(name: str, health: Health, now: float) -> AccountState:
    return AccountState(
        name,
        cool_s=max(0.0, health.cool_until - now),
        reason=health.reason,
        failures=health.failures,
        quarantined=health.quarantined,
        circuit_failures=health.circuit_failures,
        circuit_s=max(0.0, health.circuit_until - now),
        proven=health.proven,
    )


def _quarantine_s(failures: int) -> float:
    return _backoff_s(QUARANTINE_S, failures - 1, _LONGEST_COOL_S)


def _backoff_s(first_s: float, failures: int, longest_s: float) -> float:
    return min(first_s * 2.0 ** min(failures, 30), longest_s)
