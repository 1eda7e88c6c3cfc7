"""The error for a call that no account can serve: the reason, and the time of return."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, inf

from gateway.domain.errors import (
    AccountRejected,
    Fault,
    GatewayError,
    InvalidRequest,
    ModelNotAvailable,
    NoAccountAvailable,
)
from gateway.services.pool.limits import never_allows
from gateway.services.pool.pooled_account import LeaseRequest, PooledAccount
from gateway.services.pool.selection import Availability

_BUSY_S = 1.0  # Retry-After where the end of a call decides
_REASONS = {
    Fault.MINUTE_QUOTA.value: "its rate limit at the vendor is reached",
    Fault.DAY_QUOTA.value: "its quota at the vendor is exhausted",
    Fault.ACCOUNT.value: "the vendor refuses its credential",
    Fault.VENDOR.value: "the vendor fails",
    "model_quota": "its quota of this model at the vendor is exhausted",
    "model_denied": "the vendor does not allow it this model",
    "model_not_available": "the vendor does not offer it this model",
    "limit": "it has reached the limit set for it",
}


def refusal(
    accounts: Sequence[PooledAccount], found: Availability, request: LeaseRequest, now: float
) -> GatewayError:
    """The error for a call whose accounts are in the state `found`."""
    if not accounts:
        return NoAccountAvailable("No account that may serve this model is enabled.")
    limits = {account.account.limits.get(request.kind, "") for account in accounts}
    if all(never_allows(limit, request.amount) for limit in limits):
        return InvalidRequest(f"No account may make {request.amount} at once.", param="n")
    returns_in_s = found.soonest_at - now
    room_in_s = min(request.lacks_room.values(), default=inf)
    reason = ""
    if found.soonest is not None:
        reason = found.soonest.rejection_reason(request.kind, request.model)
    if room_in_s < returns_in_s:
        returns_in_s, reason = room_in_s, "limit"
    if (found.busy or returns_in_s == inf) and returns_in_s > _BUSY_S:
        returns_in_s, reason = _BUSY_S, "busy"
    returns_in_s = max(0.0, returns_in_s)
    when = f"try again in {max(1, ceil(returns_in_s))} s"
    if found.rejected and found.not_available and reason.startswith("model_"):
        return ModelNotAvailable("No account here has access to this model.", param="model")
    if found.rejected:
        return AccountRejected(
            f"The vendor refuses the credential of every account for this model; {when}.",
            retry_after=returns_in_s,
        )
    return NoAccountAvailable(
        f"No account for this model is free ({_REASONS.get(reason, 'all are busy')}); {when}.",
        retry_after=returns_in_s,
    )
