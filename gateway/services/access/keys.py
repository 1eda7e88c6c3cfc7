"""The gateway's own keys: configured ones, and those made by command."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from gateway.domain.accounts import GatewayKey
from gateway.domain.errors import StorageUnavailable
from gateway.domain.money import Budget
from gateway.services.versioned_cache import VersionedCache
from gateway.storage.records.api_keys import MADE_PREFIX, KeyStore

_Stored = tuple[Mapping[str, GatewayKey], Mapping[str, Budget]]
_NO_TEAMS: Mapping[str, Budget] = MappingProxyType({})
_KNOWN_KEY_S = 1.5  # a revoked key is refused within two seconds
_NEW_KEY_S = 0.05  # between looks at the database for a key that is not known
_AWAY_S = 5.0  # between looks at a database that has failed


class KeyRing:
    """Finds keys by the SHA-256 of the credential, so that response times tell nothing.

    All valid keys are held in memory, so that a wrong one costs no query. While the
    database is away the known ones stay valid.
    """

    def __init__(
        self,
        configured: Sequence[GatewayKey],
        store: KeyStore,
        teams: Mapping[str, Budget] = _NO_TEAMS,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._configured = {key.digest: key for key in configured}
        self._teams = teams
        self._now = now
        self._stored = VersionedCache[_Stored](
            lambda: store.version(),
            lambda: ({key.digest: key for key in store.valid()}, store.teams()),
            initial=({}, {}),
            clock=clock,
        )

    def named(self, name: str) -> GatewayKey | None:
        """The valid key of that name, as far as it is known."""
        known = (*self._configured.values(), *self._stored.value[0].values())
        key = next((key for key in known if key.name == name), None)
        if key is None or (key.expires_at is not None and key.expires_at <= self._now()):
            return None
        return key

    def team(self, name: str) -> Budget:
        """The team's budget: of the settings, else of the database."""
        return self._teams.get(name) or self._stored.value[1].get(name) or Budget()

    def team_of(self, key: str) -> str | None:
        """The team of the key with that name."""
        found = self.named(key)
        return found.team if found is not None else None

    def find(self, token: str, digest: str) -> GatewayKey | None:
        """The valid key with that text. Raises StorageUnavailable for one that is not known."""
        key = self._configured.get(digest)
        if key is None and token.startswith(MADE_PREFIX):
            key = self._find_stored(digest)
        if key is None or (key.expires_at is not None and key.expires_at <= self._now()):
            return None
        return key

    def owns(self, token: str, digest: str) -> bool:
        """Tell that the text is a key of the gateway, valid or not, which no vendor may see."""
        return token.startswith(MADE_PREFIX) or digest in self._configured

    def refresh(self) -> None:
        """Read changed keys. Raises StorageUnavailable."""
        self._stored.refresh()

    def _find_stored(self, digest: str) -> GatewayKey | None:
        stored = self._stored
        is_known = digest in stored.value[0]
        age_s = _AWAY_S if stored.away else _KNOWN_KEY_S if is_known else _NEW_KEY_S
        known, _ = stored.within(age_s, wait_s=0.0 if is_known or stored.away else 0.5)
        key = known.get(digest)
        if key is None and stored.away:
            raise StorageUnavailable(
                "The key cannot be checked while the gateway's database is away; retry soon.",
                retry_after=2.0,
            )
        return key
