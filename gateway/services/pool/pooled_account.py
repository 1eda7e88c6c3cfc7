"""An account as one process knows it, and what a call asks of the accounts."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from math import inf
from typing import Literal

from gateway.domain.accounts import Account, Kind
from gateway.services.pool.health import Health

Status = Literal["enabled", "disabled", "draining"]


def state_key(account: Account) -> str:
    """Key of an account's stored health, which another credential under its name does not share."""
    return f"{account.name}@{account.secret.digest[:12]}"


@dataclass(frozen=True, slots=True)
class LeaseRequest:
    """Requirements of a call on its account. `skip` names accounts not to be chosen."""

    upstream: str
    models: tuple[str, ...]  # names of the model, the last of which is the vendor's
    kind: Kind
    caller: str
    give_up_at: float
    skip: Collection[str] = ()
    conversation: str = ""  # prefers one account, for its prompt cache; "" prefers none
    amount: int = 1  # of what the accounts' limits count
    lacks_room: dict[str, float] = field(default_factory=dict)
    """Accounts whose limit has no room for `amount`, and the seconds until it has."""

    @property
    def model(self) -> str:
        return self.models[-1]


class PooledAccount:
    """Account with its state in this process. The pool's lock guards every change."""

    __slots__ = (
        "account",
        "blocked_until",
        "failures_in_a_row",
        "full_until",
        "health",
        "healthy",
        "in_flight",
        "key",
        "limited",
        "name",
        "probing",
        "revision",
        "status",
    )

    def __init__(self, account: Account, status: Status) -> None:
        self.account = account
        self.name = account.name
        self.key = state_key(account)
        self.status: Status = status
        self.health = Health()
        self.blocked_until = 0.0
        self.healthy = True
        self.failures_in_a_row = 0  # of the vendor, in this process
        self.in_flight = 0  # in this process
        self.probing = False  # a call of this process is the half-open probe
        self.full_until = 0.0  # other processes hold all of its slots
        self.limited: dict[Kind, float] = {}  # until when its own limits rule a kind out
        self.revision = 0  # of its health, as last written by this process

    def set_health(self, health: Health) -> None:
        self.health = health
        self.blocked_until = health.blocked_until
        self.healthy = health.healthy

    @property
    def load(self) -> float:
        return self.in_flight / self.account.weight

    @property
    def at_capacity(self) -> bool:
        cap = self.account.max_in_flight
        return cap is not None and self.in_flight >= cap

    def usable(self, now: float, request: LeaseRequest) -> bool:
        """True if it can be lent to the request now."""
        cap = self.account.max_in_flight
        return (
            self.blocked_until <= now
            and not self.probing
            and self.full_until <= now
            and (cap is None or self.in_flight < cap)
            and (not self.limited or self.limited.get(request.kind, 0.0) <= now)
            and (not self.health.models or self.model_blocked_until(request.model) <= now)
            and self.name not in request.skip
            and self.name not in request.lacks_room
        )

    def model_blocked_until(self, model: str) -> float:
        block = self.health.models.get(model)
        return block.until if block else 0.0

    def available_at(self, kind: Kind, model: str) -> float:
        """Time of its return by the clock; infinity where the end of a call decides."""
        if self.probing or self.at_capacity:
            return inf
        return max(
            self.blocked_until,
            self.full_until,
            self.limited.get(kind, 0.0),
            self.model_blocked_until(model),
        )

    def rejection_reason(self, kind: Kind, model: str) -> str:
        """Reason that blocks the account for longest."""
        block = self.health.models.get(model)
        until = {
            self.health.reason: self.blocked_until,
            "busy": self.full_until,
            "limit": self.limited.get(kind, 0.0),
            f"model_{block.reason}" if block else "": block.until if block else 0.0,
        }
        return max(until, key=lambda reason: until[reason])
