"""Health of an account: cooldown, ejection with half-open probes, blocked models.

Values and two functions of them, `on_failure` and `on_success`. Only the fault of an error
counts. Times are of one monotonic clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from gateway.domain.errors import (
    Fault,
    GatewayError,
    JobFailed,
    ModelNotAvailable,
    ModelQuotaExhausted,
    ModelRejected,
)

Uniform = Callable[[float, float], float]
BlockReason = Literal["quota", "denied", "not_available"]

CIRCUIT_FAILURES = 5  # of the vendor in a row that open an account's circuit
LONGEST_COOLDOWN_S = 3600.0
LONGEST_QUOTA_S = 31 * 86400.0
UNKNOWN_QUOTA_S = 3600.0  # where the vendor does not tell when a quota begins anew
_LONGEST_BACKOFF_S = 60.0
_SHORTEST_BACKOFF_S = 0.1
_REJECTED_S, _LONGEST_REJECTED_S = 300.0, 3600.0
_OPEN_S, _LONGEST_OPEN_S = 30.0, 600.0
_FORBIDDEN_S = 300.0
_NOT_AVAILABLE_S = 60.0  # before a model that its owner may have opened meanwhile is tried again
_MAX_BLOCKED_MODELS = 16  # per account: callers may name any model


class ModelBlock(NamedTuple):
    """One model that the account is not asked for."""

    until: float
    reason: BlockReason


@dataclass(frozen=True, slots=True)
class Health:
    """State of an account towards its vendor; by default nothing is held against it.

    A cooldown (`cool_until`) follows a quota failure. An ejection (`ejections` > 0) follows a
    refused credential or a failing vendor; from `ejected_until` on the account is half-open:
    one call of each process probes it. Calls begun before `changed_at` prove nothing.
    """

    cool_until: float = 0.0
    cool_reason: str = ""  # Fault.MINUTE_QUOTA or Fault.DAY_QUOTA
    quota_failures: int = 0  # in a row
    ejected_until: float = 0.0
    eject_reason: str = ""  # Fault.ACCOUNT or Fault.VENDOR
    ejections: int = 0  # in a row
    models: Mapping[str, ModelBlock] = field(default_factory=dict)
    changed_at: float = 0.0

    @property
    def blocked_until(self) -> float:
        return max(self.cool_until, self.ejected_until)

    @property
    def rejected(self) -> bool:
        """True while the vendor refuses the credential."""
        return self.eject_reason == Fault.ACCOUNT.value

    @property
    def queries_blocked_until(self) -> float:
        """Start of queries about existing jobs: only a refused credential keeps from them."""
        return self.ejected_until if self.rejected else 0.0

    @property
    def healthy(self) -> bool:
        return not (self.ejections or self.quota_failures or self.cool_until)

    @property
    def reason(self) -> str:
        """Fault that keeps the account out for longest."""
        if self.ejections and self.ejected_until >= self.cool_until:
            return self.eject_reason
        return self.cool_reason


@dataclass(frozen=True, slots=True)
class Failure:
    """A call that failed at `at` and had begun at `began_at`."""

    error: GatewayError
    began_at: float
    at: float
    model: str = ""  # the vendor's id; "" for a query about an existing job
    opens_circuit: bool = False

    @property
    def of_vendor(self) -> bool:
        """True for faults of the vendor; a job that failed was answered, so it is none."""
        return self.error.fault is Fault.VENDOR and not isinstance(self.error, JobFailed)

    @property
    def block(self) -> ModelBlock | None:
        """The block of one model that this failure means, if it is about a model."""
        err = self.error
        if not self.model:
            return None
        if isinstance(err, ModelQuotaExhausted):
            left_s = min(err.retry_after or UNKNOWN_QUOTA_S, LONGEST_QUOTA_S)
            return ModelBlock(self.at + left_s, "quota")
        if isinstance(err, ModelRejected):
            return ModelBlock(self.at + _FORBIDDEN_S, "denied")
        if isinstance(err, ModelNotAvailable):
            return ModelBlock(self.at + _NOT_AVAILABLE_S, "not_available")
        return None


def on_failure(health: Health, failure: Failure, *, uniform: Uniform) -> Health:
    """Health after a failure; unchanged by faults of callers, of contents and of the gateway."""
    fault = failure.error.fault
    late = failure.began_at < health.changed_at and health.blocked_until > failure.at
    if (block := failure.block) is not None:
        health = on_success(health, began_at=failure.began_at, at=failure.at)
        return _with_block(health, failure, block)
    if fault in (Fault.MINUTE_QUOTA, Fault.DAY_QUOTA):
        return _cooled(health, failure, uniform, late=late)
    if fault is Fault.ACCOUNT:
        return health if late and health.rejected else _ejected(health, failure, fault)
    if failure.of_vendor and not (late and health.ejections):
        probe_failed = health.ejections and not health.rejected
        if failure.opens_circuit or probe_failed:
            return _ejected(health, failure, fault)
    return health


def on_success(health: Health, *, began_at: float, at: float, query: bool = False) -> Health:
    """Health after an answer; `query`: about an existing job, which proves no quota."""
    if health.healthy or began_at < health.changed_at:
        return health
    if query:
        if not health.rejected:
            return health
        return replace(health, ejected_until=0.0, eject_reason="", ejections=0, changed_at=at)
    return Health(models=health.models, changed_at=at)


def merge(one: Health, other: Health) -> Health:
    """Health that two processes changed without knowing of each other.

    The longer cooldown holds, whoever was answered meanwhile. An ejection ends with the
    later recovery.
    """
    newer, older = (one, other) if one.changed_at >= other.changed_at else (other, one)
    cool = max(newer, older, key=lambda health: health.cool_until)
    ejected = newer
    if newer.ejections and older.ejected_until > newer.ejected_until:
        ejected = older
    return Health(
        cool_until=cool.cool_until,
        cool_reason=cool.cool_reason,
        quota_failures=max(newer.quota_failures, older.quota_failures),
        ejected_until=ejected.ejected_until,
        eject_reason=ejected.eject_reason,
        ejections=ejected.ejections,
        models={**older.models, **newer.models},
        changed_at=newer.changed_at,
    )


def _cooled(health: Health, failure: Failure, uniform: Uniform, *, late: bool) -> Health:
    asked_s = failure.error.retry_after
    if asked_s is not None and not asked_s > 0:
        asked_s = None
    if failure.error.fault is Fault.DAY_QUOTA:
        pause_s = min(asked_s or UNKNOWN_QUOTA_S, LONGEST_QUOTA_S)
    elif asked_s is not None:
        pause_s = min(asked_s, LONGEST_COOLDOWN_S)
    elif late:
        return health  # the same incident, for which the account cools down already
    else:
        backoff_s = _backoff_s(1.0, health.quota_failures, _LONGEST_BACKOFF_S)
        pause_s = max(_SHORTEST_BACKOFF_S, uniform(0.0, backoff_s))
    until, reason = failure.at + pause_s, failure.error.fault.value
    if health.cool_until > until:
        until, reason = health.cool_until, health.cool_reason
    if late:
        return replace(health, cool_until=until, cool_reason=reason)
    return Health(
        cool_until=until,
        cool_reason=reason,
        quota_failures=health.quota_failures + 1,
        models=health.models,
        changed_at=failure.at,
    )


def _ejected(health: Health, failure: Failure, fault: Fault) -> Health:
    ejections = health.ejections + 1 if health.eject_reason == fault.value else 1
    first_s, longest_s = (
        (_REJECTED_S, _LONGEST_REJECTED_S) if fault is Fault.ACCOUNT else (_OPEN_S, _LONGEST_OPEN_S)
    )
    return replace(
        health,
        ejected_until=failure.at + _backoff_s(first_s, ejections - 1, longest_s),
        eject_reason=fault.value,
        ejections=ejections,
        changed_at=failure.at,
    )


def _with_block(health: Health, failure: Failure, block: ModelBlock) -> Health:
    current = {name: known for name, known in health.models.items() if known.until > failure.at}
    if failure.model not in current and len(current) >= _MAX_BLOCKED_MODELS:
        return health
    return replace(health, models={**current, failure.model: block}, changed_at=failure.at)


def _backoff_s(first_s: float, failures: int, longest_s: float) -> float:
    return min(first_s * 2.0 ** min(failures, 30), longest_s)
