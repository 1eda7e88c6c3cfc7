"""Rate limits of callers: the text that applies, the counter's key, the state for headers."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from limits import RateLimitItem
from limits.strategies import RateLimiter, SlidingWindowCounterRateLimiter

from gateway.config.toml import parse_limits
from gateway.domain.accounts import Caller, LimitStatus
from gateway.domain.errors import RateLimitExceeded
from gateway.storage.rate_counters import STRATEGY, RateCounters, wait_s

WRONG_KEYS = "100/minute"  # answers 401 to one address, before it gets 429 instead
SIGN_INS = "10/minute"  # that fail, before an address gets 429
_PORT = re.compile(r"(\d+\.\d+\.\d+\.\d+|\[[^\]]*\])(?::\d+)?")


class CallerLimits:
    """Counts calls by gateway key, or by client address where there is none."""

    strategy = STRATEGY

    def __init__(
        self,
        counters: RateCounters,
        default: str,
        *,
        storage_uri: str,
        storage_options: dict[str, Any],
    ) -> None:
        """The storage of `counters` is also that of Flask-Limiter."""
        self.storage_uri = storage_uri
        self.storage_options = storage_options
        self._counters = counters
        self._default = default

    def take(self, caller: Caller, address: str) -> tuple[LimitStatus, RateLimitExceeded | None]:
        """Count a call, if no limit refuses it; the state of the limit that is closest."""
        items = _items((caller.key.limits if caller.key is not None else None) or self._default)
        key = counter_key(caller, address)
        exceeded = self._counters.take(items, key)
        status = self._counters.status(items, key)
        if exceeded is None:
            return status, None
        wait = format_s(exceeded.wait_s)
        refusal = RateLimitExceeded(
            f"The limit of {status.text} is reached; try again in {wait}.",
            retry_after=max(1.0, exceeded.wait_s),
        )
        return replace(status, reset_s=exceeded.wait_s), refusal

    def check_sign_in(self, address: str) -> None:
        """Raises RateLimitExceeded after too many failed sign-ins from one address."""
        status = self._counters.status(_items(SIGN_INS), "sign-in", network(address))
        if status.remaining <= 0:
            raise RateLimitExceeded(
                f"Too many sign-ins failed; try again in {format_s(status.reset_s)}.",
                retry_after=max(1.0, status.reset_s),
            )

    def count_sign_in(self, address: str) -> None:
        """Count a failed sign-in."""
        self._counters.take(_items(SIGN_INS), "sign-in", network(address))

    def wait_s(self, windows: RateLimiter, item: RateLimitItem, key: Sequence[str]) -> float:
        """Seconds until there is room for a call; the limit's span if nobody knows."""
        assert isinstance(windows, SlidingWindowCounterRateLimiter)
        try:
            return max(1.0, wait_s(windows, item, *key))
        except windows.storage.base_exceptions:
            return float(item.get_expiry())


def counter_key(caller: Caller, address: str) -> str:
    """Key of the caller's counter: its gateway key, else its network.

    A credential of the caller's own may be any text, so it has no counter of its own.
    """
    if caller.key is not None:
        return caller.owner
    return f"address:{network(address)}"


@lru_cache(maxsize=1024)
def _items(limit: str) -> tuple[RateLimitItem, ...]:
    return parse_limits(limit)


@lru_cache(maxsize=4096)
def network(address: str) -> str:
    """IPv4 address or IPv6 /64 network of a client, without the port that proxies may add."""
    with_port = _PORT.fullmatch(address)
    try:
        found = ipaddress.ip_address(with_port[1].strip("[]") if with_port else address)
    except ValueError:
        return "unknown"
    if found.version == 4:
        return str(found)
    return str(found.ipv4_mapped or ipaddress.ip_network((found, 64), strict=False))


def format_s(seconds: float) -> str:
    """A duration as OpenAI writes it: `0s`, `59s`, `6m0s`, `23h59m1s`; never too short."""
    whole = -int(-seconds // 1)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
