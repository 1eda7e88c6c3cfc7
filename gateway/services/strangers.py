"""Callers with a credential of their own that no vendor has accepted within the last day.

Any text is such a credential. So they count under their address, and what they leave here is
theirs for a day, unless a vendor accepts the credential until then.
"""

from __future__ import annotations

from contextlib import suppress

from limits import RateLimitItemPerDay
from limits.strategies import RateLimiter

from gateway.domain.errors import StorageUnavailable
from gateway.services.limits import network
from gateway.stores.media_index import MediaIndex

_ACCEPTED = RateLimitItemPerDay(1, namespace="accepted")  # a day's memory, shared like the rest


class Strangers:
    def __init__(self, rates: RateLimiter, index: MediaIndex) -> None:
        self._rates = rates
        self._index = index

    def network(self, owner: str, address: str) -> str | None:
        """What stands for a stranger; None for the owner of a credential known to be good."""
        return network(address) if self._rates.test(_ACCEPTED, owner) else None

    def accepted(self, owner: str) -> None:
        """A vendor took the owner's credential: what was left with it is kept like anybody's."""
        if self._rates.test(_ACCEPTED, owner) and self._rates.hit(_ACCEPTED, owner):
            with suppress(StorageUnavailable):  # no reason to fail what the vendor has answered
                self._index.prove(owner)
