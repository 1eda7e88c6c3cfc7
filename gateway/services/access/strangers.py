"""Callers with a credential of their own that no vendor has accepted within the last day.

Any text is such a credential, and some servers answer whoever asks. So callers count under
their address, and what they leave here is theirs for a day, unless a vendor accepts the
credential until then.
"""

from __future__ import annotations

from collections.abc import Container

from limits import RateLimitItemPerDay
from limits.strategies import RateLimiter

from gateway.domain.errors import StorageUnavailable
from gateway.services.access.limits import network
from gateway.storage.records.media_index import MediaIndex

_ACCEPTED = RateLimitItemPerDay(1, namespace="accepted")  # a day's memory, shared like the rest


class Strangers:
    """`proving` are the upstreams that answer nobody whose credential is not good."""

    def __init__(self, rates: RateLimiter, index: MediaIndex, proving: Container[str]) -> None:
        self._rates = rates
        self._index = index
        self._proving = proving

    def network(self, owner: str, address: str) -> str | None:
        """What stands for a stranger; None for the owner of a credential known to be good."""
        return None if self.accepted(owner) else network(address)

    def accepted(self, owner: str) -> bool:
        """As far as this machine knows, whoever found it out."""
        return not self._rates.test(_ACCEPTED, owner)

    def answered(self, owner: str, upstream: str | None) -> None:
        """What was left with a credential that this proves good is kept like anybody's."""
        if upstream not in self._proving or self.accepted(owner):
            return
        # Where other machines know it already, something may have been left here since.
        self._rates.hit(_ACCEPTED, owner)
        try:
            self._index.prove(owner)
        except StorageUnavailable:  # no reason to fail what the vendor has answered
            self._rates.clear(_ACCEPTED, owner)  # so the next answer proves it
