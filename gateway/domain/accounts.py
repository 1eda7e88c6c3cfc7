"""Credentials, accounts and callers, as values whose secrets do not show."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from gateway.domain.money import Budget

Kind = Literal["chat", "image", "video", "embedding"]


class Secret:
    """A credential that cannot be printed, formatted, pickled or compared by accident."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return "Secret(****)"

    def __reduce__(self) -> str:
        raise TypeError("a Secret is never pickled")

    @property
    def digest(self) -> str:
        """SHA-256, to recognise the credential without keeping it."""
        return hashlib.sha256(self._value.encode("utf-8", "surrogateescape")).hexdigest()


@dataclass(frozen=True, slots=True)
class Account:
    """One credential at one upstream. `name` is the label in logs, headers and metrics."""

    name: str
    upstream: str
    secret: Secret
    base_url: str | None = None
    engine: str | None = None
    weight: int = 1
    max_in_flight: int | None = None
    limits: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    models: frozenset[str] = frozenset()
    stream_options: bool = True  # False for a server that refuses this parameter of streams
    own: bool = False  # the caller's own credential: used once, kept nowhere


@dataclass(frozen=True, slots=True)
class GatewayKey:
    """A key of the gateway itself; only the SHA-256 of the key is known."""

    name: str
    digest: str
    limits: str | None = None
    models: frozenset[str] = frozenset()  # empty: every model
    expires_at: float | None = None  # unix seconds
    team: str | None = None
    budget: Budget = field(default_factory=Budget)
    max_in_flight: int | None = None  # requests of this key at once
    keep_prompts: bool = False  # whether the gallery may show what was asked for
    admin: bool = False  # may use the console and /v1/admin


@dataclass(frozen=True, slots=True)
class LimitStatus:
    """State of a rate limit after a call; `text` is as in `20 per 1 minute`."""

    text: str
    limit: int
    remaining: int
    reset_s: float  # until there is room for one more call than now


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of the request. Jobs, files and media belong to its `owner`."""

    owner: str
    key: GatewayKey | None = None
    credential: Secret | None = None  # set when the caller brought a vendor credential

    def may_use(self, model: str) -> bool:
        return self.key is None or not self.key.models or model in self.key.models
