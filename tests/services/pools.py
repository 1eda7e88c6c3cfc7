"""Pools on a database of their own, with a clock that moves when a test says so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest

from gateway.domain.accounts import Account, Secret
from gateway.domain.errors import AccountExhausted, AccountRejected, NoAccountAvailable
from gateway.services.pool.limits import AccountLimits
from gateway.services.pool.pool import Lease, Pool
from gateway.services.pool.pooled_account import LeaseRequest
from gateway.services.pool.registry import AccountRegistry
from gateway.storage.db.engine import Database
from gateway.storage.db.processes import Processes
from gateway.storage.rate_counters import RateCounters
from gateway.storage.records.account_states import AccountStateStore
from gateway.storage.records.accounts import AccountStore
from gateway.storage.records.slots import SlotStore

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
    """A database that the pools of several processes share."""

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

    def pool(
        self,
        *accounts: Account,
        database: Database | None = None,
        only_configured: bool = False,
        host: str | None = None,
        **options: Any,
    ) -> Pool:
        """A process. Jitter is the middle of its range, so that nothing happens by chance."""
        database = database or self.database
        options.setdefault("clock", self.clock)
        options.setdefault("uniform", lambda low, high: (low + high) / 2)
        options.setdefault("random", Random(7).random)
        stored = AccountStore(database, secret_keys=KEYS)
        pool = Pool(
            AccountRegistry(
                accounts, stored, only_configured=only_configured, clock=options["clock"]
            ),
            AccountStateStore(database),
            SlotStore(database),
            Processes(database, host=host, clock=options["clock"]),
            AccountLimits(RateCounters("memory://", {})),
            **options,
        )
        pool.refresh()
        return pool

    def close(self) -> None:
        for database in self.opened:
            database.close()


def request(pool: Pool, **options: Any) -> LeaseRequest:
    given = {"upstream": "vendor", "models": ("model",), "kind": "chat", "caller": "someone"}
    return LeaseRequest(**{"give_up_at": pool.deadline(), **given, **options})


def lend(pool: Pool, **options: Any) -> Lease:
    """A lease that is in use until `end`."""
    return pool.lease(request(pool, **options)).__enter__()


def end(lease: Lease, err: BaseException | None = None) -> None:
    lease.__exit__(type(err) if err else None, err, None)


def call(pool: Pool, err: BaseException | None = None, **options: Any) -> str:
    """The name of the account that a call got, after it ended."""
    lease = lend(pool, **options)
    end(lease, err)
    return lease.account.name


def retry_after_s(pool: Pool, **options: Any) -> float | None:
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
