"""Rate limits of callers: the text that applies, the counter's key, the state for headers."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from limits import RateLimitItem
from limits.strategies import RateLimiter, SlidingWindowCounterRateLimiter

from gateway.domain.accounts import Caller
from gateway.storage.rate_counters import STRATEGY, wait_s

WRONG_KEYS = "100/minute"  # answers 401 to one address, before it gets 429 instead
_PORT = re.compile(r"(\d+\.\d+\.\d+\.\d+|\[[^\]]*\])(?::\d+)?")


@dataclass(frozen=True, slots=True)
class LimitStatus:
    """State of the limit that is closest to being reached."""

    limit: int
    remaining: int
    reset_s: float  # until there is room for one more call than now


@dataclass(frozen=True, slots=True)
class CallerLimits:
    """Limits of callers, and the storage of the `limits` library that counts their calls."""

    default: str
    storage_uri: str = field(repr=False)
    storage_options: dict[str, Any] = field(repr=False)
    strategy: str = STRATEGY

    def limit_of(self, caller: Caller) -> str:
        """Limits of the caller's key, or the default ones."""
        return (caller.key.limits if caller.key is not None else None) or self.default

    def status(
        self, windows: RateLimiter, counters: Iterable[tuple[RateLimitItem, Sequence[str]]]
    ) -> LimitStatus | None:
        """State of the tightest of the counters; None while their storage does not answer."""
        assert isinstance(windows, SlidingWindowCounterRateLimiter)
        found: LimitStatus | None = None
        try:
            for item, key in counters:
                remaining = windows.get_window_stats(item, *key).remaining
                if found is None or remaining < found.remaining:
                    amount = min(remaining + 1, item.amount)
                    reset_s = wait_s(windows, item, *key, amount=amount)
                    found = LimitStatus(item.amount, remaining, reset_s)
        except windows.storage.base_exceptions:
            return None
        return found


def counter_key(caller: Caller, address: str) -> str:
    """Key of the caller's counter: its gateway key, else its network.

    A credential of the caller's own may be any text, so it has no counter of its own.
    """
    if caller.key is not None:
        return caller.owner
    return f"address:{network(address)}"


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
