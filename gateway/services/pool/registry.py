"""Registry of the accounts: those of the settings, and those added by command."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from gateway.domain.accounts import Account
from gateway.domain.errors import StorageUnavailable
from gateway.runtime.logs import log
from gateway.services.pool.pooled_account import PooledAccount, Status, state_key
from gateway.services.pool.selection import Candidates
from gateway.services.versioned_cache import VersionedCache
from gateway.storage.records.accounts import AccountRecord, AccountStore

_FRESH_S = 0.5


def origins_of(urls: Iterable[str | None]) -> frozenset[str]:
    """The origins of those that are given, as "host:port"."""
    found = [urlsplit(url) for url in urls if url]
    return frozenset(
        f"{u.hostname}:{u.port or (443 if u.scheme == 'https' else 80)}" for u in found
    )


@dataclass(frozen=True, slots=True)
class _Stored:
    """The database's part. `locked`: accounts that no secret key decrypts.

    `statuses` are those that operators gave to accounts of the settings.
    """

    accounts: tuple[tuple[Account, Status], ...] = ()
    locked: frozenset[str] = frozenset()
    statuses: Mapping[str, Status] | None = None


class AccountRegistry:
    """Accounts by name; a configured name comes before a stored one."""

    def __init__(
        self,
        configured: Sequence[Account],
        store: AccountStore,
        *,
        only_configured: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`only_configured`: stored accounts are left out."""
        self._configured = {account.name: account for account in configured}
        self._only_configured = only_configured
        self._store = store
        self._decrypted: dict[str, tuple[AccountRecord, Account]] = {}
        self._pooled: dict[str, PooledAccount] = {}
        self._keys: dict[str, PooledAccount] = {}
        self._candidates: dict[tuple[str, tuple[str, ...]], Candidates] = {}
        self._restricted_to: frozenset[str] = frozenset()  # models that accounts name
        self._installed = _Stored()
        self._cache = VersionedCache(store.version, self._read, initial=_Stored(), clock=clock)
        self.changes = 0  # of anything that decides which accounts can be lent
        self.in_flight: Counter[str] = Counter()  # calls of this process, by upstream
        self.weights: Mapping[str, int] = {}  # of the enabled accounts, by upstream
        self.origins: frozenset[str] = frozenset()  # "host:port" of the accounts' own base URLs
        self._install(self._installed)

    def __iter__(self) -> Iterator[PooledAccount]:
        return iter(list(self._pooled.values()))

    def __len__(self) -> int:
        return len(self._pooled)

    @property
    def locked(self) -> frozenset[str]:
        return self._installed.locked

    def get(self, name: str) -> PooledAccount | None:
        return self._pooled.get(name)

    def by_key(self, key: str) -> PooledAccount | None:
        return self._keys.get(key)

    def is_configured(self, name: str) -> bool:
        return name in self._configured

    def read(self, *, fresh_s: float = _FRESH_S) -> bool:
        """Look for changes in the database; True if `install` has something to do."""
        return self._cache.within(fresh_s) is not self._installed

    def install(self) -> None:
        """Make what was read the accounts. What is lent of a removed one is still given back."""
        self._install(self._cache.value)

    def candidates(self, upstream: str, models: Sequence[str]) -> Candidates:
        """Enabled accounts of the upstream that may serve a model of these names."""
        named = tuple(model for model in models if model in self._restricted_to)
        found = self._candidates.get((upstream, named))
        if found is None:
            found = self._candidates[upstream, named] = Candidates(
                [
                    pooled
                    for pooled in self._enabled(upstream)
                    if not pooled.account.models or not pooled.account.models.isdisjoint(named)
                ]
            )
        return found

    def may_eject(self, pooled: PooledAccount, reason: str) -> bool:
        """Never more than half of an upstream: its accounts may all suffer from one incident."""
        enabled = self._enabled(pooled.account.upstream)
        ejected = sum(found.health.eject_reason == reason for found in enabled)
        return 2 * (ejected + 1) <= len(enabled)

    def _enabled(self, upstream: str) -> list[PooledAccount]:
        return [
            pooled
            for pooled in self._pooled.values()
            if pooled.account.upstream == upstream and pooled.status == "enabled"
        ]

    def _install(self, stored: _Stored) -> None:
        statuses = stored.statuses or {}
        wanted: dict[str, tuple[Account, Status]] = {
            name: (account, statuses.get(name, "enabled"))
            for name, account in self._configured.items()
        }
        for account, status in stored.accounts:
            wanted.setdefault(account.name, (account, status))
        pooled: dict[str, PooledAccount] = {}
        for name, (account, status) in wanted.items():
            known = self._keys.get(state_key(account))
            if known is None or known.account.upstream != account.upstream:
                known = PooledAccount(account, status)
            known.account, known.status = account, status
            pooled[name] = known
        self._pooled = pooled
        self._keys = {found.key: found for found in pooled.values()}
        self._restricted_to = frozenset().union(*(a.models for a, _ in wanted.values()))
        self._candidates.clear()
        weights: Counter[str] = Counter()
        for found in pooled.values():
            if found.status == "enabled":
                weights[found.account.upstream] += found.account.weight
        self.weights = weights
        self.origins = origins_of(account.base_url for account, _ in wanted.values())
        self._installed = stored

    def _read(self) -> _Stored:
        if self._only_configured:
            return _Stored(statuses=self._store.switches())
        accounts: list[tuple[Account, Status]] = []
        decrypted, locked = {}, set()
        for record in self._store.list():
            if record.name in self._configured:
                continue
            found = self._decrypt(record)
            if found is None:
                locked.add(record.name)
            else:
                decrypted[record.name] = found
                accounts.append((found[1], record.status))
        self._decrypted = decrypted
        return _Stored(tuple(accounts), frozenset(locked), self._store.switches())

    def _decrypt(self, record: AccountRecord) -> tuple[AccountRecord, Account] | None:
        known = self._decrypted.get(record.name)
        as_enabled = replace(record, status="enabled")
        if known is not None and known[0] == as_enabled:
            return known
        try:
            return as_enabled, self._store.unlock(record)
        except StorageUnavailable as err:
            log.error("account_not_decrypted", account=record.name, message=err.message)
            return None
