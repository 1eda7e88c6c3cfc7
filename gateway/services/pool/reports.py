"""What operators and callers are told about accounts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil, inf
from typing import Literal

from gateway.domain.errors import (
    AccountRejected,
    Fault,
    GatewayError,
    InvalidRequest,
    ModelNotOpen,
    NoAccountAvailable,
)
from gateway.services.pool.health import Health
from gateway.services.pool.limits import never_allows
from gateway.services.pool.queue import Wish
from gateway.services.pool.selection import Member, Outlook

_BUSY_AGAIN_S = 1.0  # what callers are told when the end of a call decides
_REASONS = {
    Fault.MINUTE_QUOTA.value: "its rate limit at the vendor is reached",
    Fault.DAY_QUOTA.value: "its quota at the vendor is used up",
    Fault.ACCOUNT.value: "the vendor refuses its credential",
    "vendor": "the vendor fails",
    "model": "its quota of this model at the vendor is used up",
    "denied": "the vendor does not allow it this model",
    "limit": "it has reached the limit set for it",
}


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account as operators see it. Times are seconds from now."""

    name: str
    upstream: str
    status: str  # enabled | draining | disabled
    configured: bool  # by the settings, so that no command removes it
    weight: int
    models: frozenset[str]
    in_flight: int  # in this process
    max_in_flight: int | None
    back_in_s: float  # 0: it can be lent now, by the clock
    reason: str  # why it rests: minute_quota, day_quota, account, vendor
    proven: bool  # the vendor has accepted its credential
    quarantined: bool
    circuit: Literal["closed", "open", "half-open"]
    limited: Mapping[str, float]  # kinds and models that it may do no more of, and for how long


def refusal(outlook: Outlook, wish: Wish) -> GatewayError:
    """The error for a request that no account can serve now: why, and when one can."""
    if not outlook.known:
        return NoAccountAvailable("No account that may serve this model is enabled.")
    if outlook.limits and all(never_allows(limit, wish.amount) for limit in outlook.limits):
        return InvalidRequest(f"No account may make {wish.amount} at once.", param="n")
    back_in_s, short_s = outlook.back_in_s, wish.short_s
    if outlook.engaged or back_in_s == inf:
        back_in_s = min(back_in_s, _BUSY_AGAIN_S)
    why = _REASONS.get(outlook.reason) if back_in_s == outlook.back_in_s else None
    if short_s < outlook.back_in_s and not outlook.engaged:
        back_in_s, why = short_s, _REASONS["limit"]
    when = f"try again in {max(1, ceil(back_in_s))} s"
    if outlook.refused and outlook.lacked and outlook.reason == "denied":
        return ModelNotOpen("No account here has access to this model.", param="model")
    if outlook.refused:
        return AccountRejected(
            f"The vendor refuses the credential of every account for this model; {when}.",
            retry_after=back_in_s,
        )
    return NoAccountAvailable(
        f"No account for this model is free ({why or 'all are busy'}); {when}.",
        retry_after=back_in_s,
    )


def left_s(health: Health, now: float) -> float:
    """Seconds until the account is back, by the clock."""
    return round(max(0.0, health.cool_until - now, health.circuit_until - now), 1)


def view_of(member: Member, now: float, *, configured: bool) -> AccountView:
    health = member.health
    resting = health.aside(now)
    circuit: Literal["closed", "open", "half-open"] = "closed"
    if health.ejected:
        circuit = "open" if health.circuit_until > now else "half-open"
    return AccountView(
        name=member.name,
        upstream=member.account.upstream,
        status=member.status,
        configured=configured,
        weight=member.account.weight,
        models=member.account.models,
        in_flight=member.in_flight,
        max_in_flight=member.cap,
        back_in_s=left_s(health, now),
        reason=(health.reason or "vendor") if resting else "",
        proven=health.proven,
        quarantined=health.quarantined,
        circuit=circuit,
        limited={
            what: until - now
            for what, until in (
                *member.limited.items(),
                *member.spent.items(),
                *member.denied.items(),
            )
            if until > now
        },
    )
