"""The gateway's own keys: configured ones, and those made by command."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from gateway.domain.accounts import GatewayKey
from gateway.stores.keys import KeyStore

_FRESH_S = 2.0  # how long an answer of the store is believed: revocation takes effect within it
_MOST_CACHED = 10_000


class KeyRing:
    """Finds keys by the SHA-256 of what the caller sent, so that timing tells nothing."""

    def __init__(
        self,
        configured: Sequence[GatewayKey],
        store: KeyStore,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._configured = {key.digest: key for key in configured}
        self._store = store
        self._clock = clock
        self._cache: dict[str, tuple[float, GatewayKey | None]] = {}

    def find(self, digest: str) -> GatewayKey | None:
        """Raises StorageUnavailable when only the database could tell and it is away."""
        if key := self._configured.get(digest):
            return key
        now = self._clock()
        cached = self._cache.get(digest)
        if cached is not None and cached[0] > now:
            return cached[1]
        found = self._store.by_digest(digest)
        if len(self._cache) >= _MOST_CACHED:
            self._cache.clear()
        self._cache[digest] = (now + _FRESH_S, found)
        return found
