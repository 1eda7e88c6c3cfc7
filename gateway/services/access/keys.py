"""The gateway's own keys: configured ones, and those made by command."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from threading import Lock

from gateway.domain.accounts import GatewayKey
from gateway.domain.errors import StorageUnavailable
from gateway.storage.records.api_keys import MADE_PREFIX, KeyStore

_FRESH_S = 1.5  # how long what was read is believed: a revoked key is refused within two seconds
_NEW_S = 0.05  # before looking again for a key that is not known
_WAIT_S = 0.5  # for somebody else who is looking
_AWAY_S = 5.0  # before a request asks a database that has failed


class KeyRing:
    """Finds keys by the SHA-256 of what the caller sent, so that timing tells nothing.

    All valid keys are held in memory, so that a wrong one costs no query. While the
    database is away those that were known stay valid.
    """

    def __init__(
        self,
        configured: Sequence[GatewayKey],
        store: KeyStore,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._configured = {key.digest: key for key in configured}
        self._store = store
        self._clock = clock
        self._now = now
        self._stored: dict[str, GatewayKey] = {}
        self._version = -1
        self._looked_at = -_AWAY_S
        self._away = False
        self._looking = Lock()

    def find(self, token: str, digest: str) -> GatewayKey | None:
        """The valid key that `token` is.

        Raises StorageUnavailable when only the database could tell and it is away.
        """
        key = self._configured.get(digest)
        if key is None and token.startswith(MADE_PREFIX):
            key = self._find_stored(digest)
        if key is None or (key.expires_at is not None and key.expires_at <= self._now()):
            return None
        return key

    def owns(self, token: str, digest: str) -> bool:
        """Whether it is a key of the gateway, valid or not, so that no vendor may see it."""
        return token.startswith(MADE_PREFIX) or digest in self._configured

    def refresh(self) -> None:
        """Read what has changed. Raises StorageUnavailable."""
        with self._looking:
            self._look()

    def _find_stored(self, digest: str) -> GatewayKey | None:
        known = digest in self._stored
        patience = _AWAY_S if self._away else _FRESH_S if known else _NEW_S
        if self._clock() - self._looked_at >= patience:
            self._look_again(patience, wait_s=0.0 if known or self._away else _WAIT_S)
        key = self._stored.get(digest)
        if key is None and self._away:
            raise StorageUnavailable(
                "This key cannot be checked, because the gateway's database is away. "
                "Try again in a moment.",
                retry_after=2.0,
            )
        return key

    def _look_again(self, patience: float, *, wait_s: float) -> None:
        """Unless somebody else does, or has done so meanwhile."""
        if self._looking.acquire(timeout=wait_s):
            try:
                if self._clock() - self._looked_at >= patience:
                    self._look()
            except StorageUnavailable:
                pass  # `_away` says it
            finally:
                self._looking.release()

    def _look(self) -> None:
        self._looked_at = self._clock()
        try:
            version = self._store.version()
            if version != self._version:
                self._stored = {key.digest: key for key in self._store.valid()}
                self._version = version
            self._away = False
        except StorageUnavailable:
            self._away, self._looked_at = True, self._clock()
            raise
