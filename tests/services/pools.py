"""Pools on a database of their own, with a clock that moves when a test says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytest

from gateway.domain.accounts import Account, Secret
from gateway.domain.errors import AccountExhausted, AccountRejected, NoAccountAvailable
from gateway.services.pool import accounts as pool_accounts
from gateway.services.pool import sync as pool_sharing
from gateway.services.pool.limits import AccountLimits
from gateway.services.pool.pool import Lease, Pool
from gateway.services.pool.selection import Member
from gateway.storage.db import rows
from gateway.storage.db.bell import Bell
from gateway.storage.db.engine import Database
from gateway.storage.db.leases import LeaseStore
from gateway.storage.db.schema import account_states
from gateway.storage.rate_counters import MachineCounters
from gateway.storage.records.account_states import AccountState, AccountStateStore
from gateway.storage.records.accounts import AccountStore

TOPICS = (pool_accounts.TOPIC, pool_sharing.TOPIC)
KEYS = (Secret("k" * 32),)


class Clock:
    def __init__(self) -> None:
        self.time = 1000.0

    def __call__(self) -> float:
        return self.time

    def pass_s(self, seconds: float) -> None:
        self.time += seconds


def account(name: str, **options: Any) -> Account:
    upstream = options.pop("upstream", "vendor")
    return Account(name, upstream, Secret(options.pop("secret", f"secret-of-{name}")), **options)


def exhausted(retry_after: float | None = None) -> AccountExhausted:
    return AccountExhausted("429", retry_after=retry_after)


@dataclass
class World:
    """A database and a bell, which the pools of several processes share."""

    folder: Path
    url: str = ""
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.database_url = self.url or f"sqlite:///{self.folder}/gateway.db"
        self.database = Database(self.database_url)
        self.database.migrate()
        self.opened: list[Database] = [self.database]

    @property
    def states(self) -> AccountStateStore:
        return AccountStateStore(self.database)

    @property
    def accounts(self) -> AccountStore:
        return AccountStore(self.database, secret_keys=KEYS)

    def bell(self, machine: str = "here") -> Bell:
        return Bell(self.folder / machine / "bell", TOPICS)

    def pool(
        self,
        *accounts: Account,
        machine: str = "here",
        database: Database | None = None,
        proven: bool = True,
        **options: Any,
    ) -> Pool:
        """Jitter is the middle of its range, so that nothing happens by chance.

        Vendors have accepted the accounts before, if `proven`.
        """
        if proven and database is None:
            prove(self.database, accounts)
        database = database or self.database
        options.setdefault("clock", self.clock)
        pool = Pool(
            accounts,
            stored=AccountStore(database, secret_keys=KEYS),
            states=AccountStateStore(database),
            leases=LeaseStore(database),
            bell=self.bell(machine),
            quota=AccountLimits(MachineCounters()),
            uniform=options.pop("uniform", lambda low, high: (low + high) / 2),
            **options,
        )
        pool.refresh()
        return pool

    def close(self) -> None:
        for database in self.opened:
            database.close()


def prove(database: Database, accounts: Sequence[Account]) -> None:
    """Put down that the vendor has accepted them, where nothing else is known of them."""
    blank = asdict(AccountState("")) | {"cool_until": 0, "circuit_until": 0, "probe_until": 0}
    del blank["cool_s"], blank["circuit_s"]
    with database.begin() as connection:
        blank |= {"revision": rows.bump(database, connection, "account_states"), "proven": True}
        found = [blank | {"account": Member(account, "enabled").key} for account in accounts]
        if found:
            connection.execute(database.insert(account_states).on_conflict_do_nothing(), found)


def lend(pool: Pool, **options: Any) -> Lease:
    """A lease that is in use until `end`."""
    wish = {"models": ("model",), "kind": "chat", "caller": "someone"}
    upstream = options.pop("upstream", "vendor")
    options.setdefault("give_up_at", pool.deadline())
    return pool.lease(upstream, **wish | options).__enter__()


def end(lease: Lease, err: BaseException | None = None) -> None:
    lease.__exit__(type(err) if err else None, err, None)


def call(pool: Pool, err: BaseException | None = None, **options: Any) -> str:
    """The name of the account that a call got, after it ended."""
    lease = lend(pool, **options)
    end(lease, err)
    return lease.account.name


def rest_s(pool: Pool, **options: Any) -> float | None:
    """Seconds until an account is back, as callers are told."""
    with pytest.raises((NoAccountAvailable, AccountRejected)) as caught:
        lend(pool, give_up_at=0.0, **options)
    return caught.value.retry_after


def names(pool: Pool, count: int, **options: Any) -> list[str]:
    return [call(pool, **options) for _ in range(count)]


def view(pool: Pool, name: str) -> Any:
    return next(found for found in pool.snapshot() if found.name == name)


def weighted(weights: Sequence[int]) -> list[Account]:
    return [account(chr(ord("a") + n), weight=weight) for n, weight in enumerate(weights)]
