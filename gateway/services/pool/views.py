"""Accounts as operators see them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from gateway.services.pool.pooled_account import PooledAccount, Status

State = Literal["ready", "cooling", "ejected", "disabled", "draining"]


@dataclass(frozen=True, slots=True)
class AccountView:
    """State of one account, without its secret. Times are seconds from now."""

    name: str
    upstream: str
    state: State
    reason: str  # of a cooldown or an ejection: minute_quota, day_quota, account, vendor
    returns_in_s: float  # 0: it can be lent now, by the clock
    in_flight: int  # in this process
    max_in_flight: int | None
    weight: int
    models: frozenset[str]
    limits: Mapping[str, str]
    limited: Mapping[str, float]  # kinds and models that it may do no more of, and for how long
    status: Status  # as operators set it
    configured: bool  # by the settings, so that no command removes it


def view_of(pooled: PooledAccount, now: float, *, configured: bool) -> AccountView:
    health, account = pooled.health, pooled.account
    limited: dict[str, float] = {kind: until for kind, until in pooled.limited.items()}
    limited |= {model: block.until for model, block in health.models.items()}
    out = health.ejections > 0 or health.cool_until > now
    return AccountView(
        name=pooled.name,
        upstream=account.upstream,
        state=_state(pooled, now),
        reason=health.reason if out else "",
        returns_in_s=round(max(0.0, pooled.blocked_until - now), 1),
        in_flight=pooled.in_flight,
        max_in_flight=account.max_in_flight,
        weight=account.weight,
        models=account.models,
        limits=account.limits,
        limited={name: until - now for name, until in limited.items() if until > now},
        status=pooled.status,
        configured=configured,
    )


def _state(pooled: PooledAccount, now: float) -> State:
    if pooled.status != "enabled":
        return pooled.status
    if pooled.health.ejections:
        return "ejected"
    return "cooling" if pooled.health.cool_until > now else "ready"
