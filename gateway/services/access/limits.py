"""How often callers may call: each key, good credential or address by itself."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.strategies import RateLimiter

from gateway.config.toml import parse_limits
from gateway.domain.accounts import Caller
from gateway.domain.errors import RateLimitExceeded
from gateway.storage.rate_counters import Counters, Limit

_WRONG_KEYS = RateLimitItemPerMinute(100, namespace="wrong-keys")


@dataclass(frozen=True, slots=True)
class Standing:
    """What a caller has left of the limit that is closest to being reached."""

    limit: int
    remaining: int
    reset_s: float  # until there is room for one more than now


class RateLimits:
    """Counts requests in moving windows, wherever they are kept."""

    def __init__(self, counters: Counters, default: str) -> None:
        self._counters = counters
        self._default = default

    def take(self, caller: Caller, address: str) -> tuple[Standing, RateLimitExceeded | None]:
        """Count one request; what refuses it is returned, for the answer to say both."""
        text = self._default
        if caller.key is not None and caller.key.limits:
            text = caller.key.limits
        # A credential of the caller's own may be any text, so it counts once it has proved good.
        unnamed = caller.key is None and (caller.credential is None or caller.stranger is not None)
        who = f"address:{network(address)}" if unnamed else caller.owner
        items, limits = limits_of(text, who)
        # As the library's strategy does it, which would have to ask again for the rest.
        windows = self._counters.take(limits)
        tightest: Standing | None = None
        refused: tuple[Standing, RateLimitItem] | None = None
        for item, window in zip(items, windows, strict=True):
            standing = Standing(item.amount, max(0, item.amount - window.hits), window.left_s)
            if not window.room and (refused is None or standing.reset_s > refused[0].reset_s):
                refused = standing, item
            if tightest is None or standing.remaining < tightest.remaining:
                tightest = standing
        assert tightest is not None
        return (tightest, None) if refused is None else (refused[0], _exceeded(*refused))


class WrongKeys:
    """Whoever sends wrong keys from one address is soon refused before they are looked at.

    Keys of the gateway are recognised before that, and so are credentials that a vendor has
    accepted: those who share an address with a guesser are not shut out.
    """

    def __init__(self, rates: RateLimiter, *, clock: Callable[[], float] = time.time) -> None:
        self._rates = rates
        self._clock = clock

    def count(self, address: str) -> RateLimitExceeded | None:
        """Count one; the error that is due instead of "wrong key" once there are too many."""
        where = network(address)
        return None if self._rates.hit(_WRONG_KEYS, where) else self._too_many(where)

    def check(self, caller: Caller) -> None:
        """Raises RateLimitExceeded for a credential that nobody knows, from such an address."""
        where = caller.stranger
        if where is not None and not self._rates.test(_WRONG_KEYS, where):
            raise self._too_many(where)

    def _too_many(self, where: str) -> RateLimitExceeded:
        reset_at, _ = self._rates.get_window_stats(_WRONG_KEYS, where)
        return RateLimitExceeded(
            "Too many wrong keys were sent from this address; try again later.",
            retry_after=max(1.0, reset_at - self._clock()),
        )


@lru_cache(maxsize=4096)
def network(address: str) -> str:
    """What stands for one client: its address, or the network that an IPv6 client commands."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if found.version == 4:
        return str(found)
    mapped = found.ipv4_mapped
    return str(mapped or ipaddress.ip_network((found, 64), strict=False))


@lru_cache(maxsize=4096)
def limits_of(
    text: str, *whose: str, ours: bool = False
) -> tuple[Sequence[RateLimitItem], list[Limit]]:
    """The limits that a text means, of these counted by themselves."""
    items = parse_limits(text)
    return items, [Limit(i.key_for(*whose), i.amount, i.get_expiry(), ours=ours) for i in items]


def _exceeded(standing: Standing, item: RateLimitItem) -> RateLimitExceeded:
    return RateLimitExceeded(
        f"The limit of {item} is reached; try again in {format_s(standing.reset_s)}.",
        retry_after=standing.reset_s,
    )


def format_s(seconds: float) -> str:
    """A duration as OpenAI writes it: `0s`, `59s`, `6m0s`, `23h59m1s`; never too short."""
    whole = -int(-seconds // 1)
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours}h{minutes}m{rest}s"
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
