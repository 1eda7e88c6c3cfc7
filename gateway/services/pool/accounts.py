"""Which accounts there are: those of the settings, and those added by command."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from threading import Lock
from urllib.parse import urlsplit

from gateway.domain.accounts import Account
from gateway.domain.errors import StorageUnavailable
from gateway.runtime.logs import log
from gateway.services.pool.registry import Listed, Roster
from gateway.storage.db.bell import Bell
from gateway.storage.records.accounts import AccountRecord, AccountStore

TOPIC = "accounts"
_AWAY_S = 5.0


def origins_of(urls: Iterable[str | None]) -> frozenset[str]:
    """The origins of those that are given, as "host:port"."""
    found = [urlsplit(url) for url in urls if url]
    return frozenset(
        f"{u.hostname}:{u.port or (443 if u.scheme == 'https' else 80)}" for u in found
    )


class AccountBook:
    """Keeps the roster as the settings and the database say. A configured name comes first.

    `origins` are those of the accounts' own base URLs.
    """

    def __init__(
        self,
        roster: Roster,
        configured: Sequence[Account],
        store: AccountStore,
        bell: Bell,
        *,
        only_configured: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._only_configured = only_configured
        self._roster = roster
        self._configured = {account.name: account for account in configured}
        self._store = store
        self._bell = bell
        self._clock = clock
        self._reading = Lock()
        self._heard = -1
        self._version = -1
        self._away_until = 0.0
        self._opened: dict[str, tuple[AccountRecord, Account]] = {}
        self.locked: frozenset[str] = frozenset()  # accounts that no secret key opens
        self.origins = origins_of(account.base_url for account in configured)
        self._roster.install(Listed(account, "enabled") for account in configured)

    def listen(self) -> None:
        """Take over what was added, changed or removed on this machine."""
        rung = self._bell.rung(TOPIC)
        if rung > self._heard and self._clock() >= self._away_until:
            with self._reading:
                if rung > self._heard and self._clock() >= self._away_until:
                    self._read()

    def poll(self) -> None:
        """As `listen`, for changes made on other machines."""
        with self._reading:
            self._read()

    def is_configured(self, name: str) -> bool:
        return name in self._configured

    def _read(self) -> None:
        heard = self._bell.rung(TOPIC)
        try:
            version = self._store.version()
            changed = version != self._version
            records = self._store.list() if changed else None
            switches = self._store.switches() if changed else {}
        except StorageUnavailable as err:
            if self._clock() >= self._away_until:
                log.warning("accounts_not_read", message=err.message)
            self._away_until = self._clock() + _AWAY_S
            return
        if records is not None:
            listed = self._listed(records, switches)
            self.origins = origins_of(found.account.base_url for found in listed)
            self._roster.install(listed)
        self._version, self._heard, self._away_until = version, heard, 0.0

    def _listed(
        self, records: Sequence[AccountRecord], switches: Mapping[str, str]
    ) -> list[Listed]:
        listed = [
            Listed(account, switches.get(name, "enabled"))
            for name, account in self._configured.items()
        ]
        opened, locked = {}, set()
        for record in records:
            if self._only_configured or record.name in self._configured:
                continue
            found = self._open(record)
            if found is None:
                locked.add(record.name)
            else:
                opened[record.name] = found
                listed.append(Listed(found[1], record.status))
        self._opened, self.locked = opened, frozenset(locked)
        return listed

    def _open(self, record: AccountRecord) -> tuple[AccountRecord, Account] | None:
        known = self._opened.get(record.name)
        record = replace(record, status="enabled")
        if known is not None and known[0] == record:
            return known
        try:
            return record, self._store.unlock(record)
        except StorageUnavailable as err:
            log.error("account_not_opened", account=record.name, message=err.message)
        # Another process may have sealed the same secret with a key that comes here later.
        same = known is not None and known[0] == replace(record, secret=known[0].secret)
        return known if same else None
