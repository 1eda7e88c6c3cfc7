"""Prices, costs and budgets.

Amounts are whole nanos: billionths of the currency of all budgets, so that sums are exact.
"""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Literal

NANOS = 1_000_000_000
_MILLION = 1_000_000

Basis = Literal["vendor", "estimated", "unknown"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """Prices of the models that `pattern` names, in a currency of their own.

    Tokens are priced per million. `image` and `video_second` are one number, or one for each
    size or resolution.
    """

    pattern: str
    currency: str
    input: float | None = None
    cached_input: float | None = None
    output: float | None = None
    image: float | Mapping[str, float] | None = None
    video_token: float | None = None
    video_second: float | Mapping[str, float] | None = None
    source: str = ""
    checked: date | None = None


@dataclass(frozen=True, slots=True)
class Budget:
    """Most that may be spent in a day and in a month (UTC), in nanos; None: no such budget."""

    day: int | None = None
    month: int | None = None


@dataclass(frozen=True, slots=True)
class Money:
    """Currency of all budgets and costs, its rates, and the budget of the whole gateway."""

    currency: str = "USD"
    rates: Mapping[str, float] = field(default_factory=dict)  # one unit of another, in `currency`
    budget: Budget = field(default_factory=Budget)
    teams: Mapping[str, Budget] = field(default_factory=dict)
    prices: tuple[Price, ...] = ()  # the operator's
    list_prices: tuple[Price, ...] = ()  # the vendors', where the operator has none


@dataclass(frozen=True, slots=True)
class Cost:
    nanos: int
    basis: Basis


@dataclass(frozen=True, slots=True)
class CostRange:
    """Bounds of what a request may cost, before it is sent."""

    low: int
    high: int
    basis: Basis


def units(nanos: int) -> float:
    """An amount as people read it."""
    return round(nanos / NANOS, 9)


def nanos(amount: float) -> int:
    return round(amount * NANOS)


def per_million(price: float, tokens: float) -> float:
    return price * tokens / _MILLION


def reset_at(period: str) -> float:
    """Unix seconds of the end of a day or a month (UTC)."""
    if len(period) > len("2026-12"):
        end = datetime.strptime(period, "%Y-%m-%d").replace(tzinfo=UTC) + timedelta(days=1)
    else:
        first = datetime.strptime(period, "%Y-%m").replace(tzinfo=UTC)
        end = first + timedelta(days=monthrange(first.year, first.month)[1])
    return end.timestamp()
