"""Places in flight at an account: never more than it has, over all processes and machines."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import bindparam, func, select, tuple_, update

from gateway.storage.db.engine import Database
from gateway.storage.db.schema import lapsed, leases, now

_PIECE = 300

# Row locks make one statement exact: a place that another transaction is about to take is
# skipped, and one that it has just taken no longer matches.
_FREE = (
    select(leases.c.slot)
    .where(
        leases.c.account == bindparam("of_account"),
        leases.c.slot < bindparam("places"),
        lapsed(leases.c.expires_at),
    )
    .order_by(leases.c.slot)
    .limit(1)
    .with_for_update(skip_locked=True)
    .scalar_subquery()
)
_TAKE = (
    update(leases)
    .where(leases.c.account == bindparam("of_account"), leases.c.slot == _FREE)
    .values(expires_at=now() + bindparam("ttl_s"))
    .returning(leases.c.slot)
)
_RELEASE = (
    update(leases)
    .where(
        leases.c.account == bindparam("of_account"),
        leases.c.slot == bindparam("of_slot"),
        leases.c.token == bindparam("of_token"),
    )
    .values(token=None, holder=None, expires_at=0.0)
)
_PLACES = (
    select(func.count())
    .select_from(leases)
    .where(leases.c.account == bindparam("of_account"), leases.c.slot < bindparam("places"))
)


@dataclass(frozen=True, slots=True)
class Lease:
    account: str
    slot: int
    token: str


class LeaseStore:
    """A lapsed lease is free by itself, so nothing is lost with a process that died."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def acquire(
        self, account: str, *, holder: str, max_in_flight: int, ttl_s: float = 60
    ) -> Lease | None:
        """Take one of the account's places; None when all are taken."""
        lease = self._take(account, holder, max_in_flight, ttl_s)
        if lease is None and self._add_places(account, max_in_flight):
            lease = self._take(account, holder, max_in_flight, ttl_s)
        return lease

    def renew(self, held: Collection[Lease], *, ttl_s: float = 60) -> set[Lease]:
        """Hold them for another `ttl_s`; returns those that are still held."""
        still: set[Lease] = set()
        ordered = sorted(held, key=lambda lease: (lease.account, lease.slot))
        for start in range(0, len(ordered), _PIECE):
            piece = {(x.account, x.slot, x.token): x for x in ordered[start : start + _PIECE]}
            columns = (leases.c.account, leases.c.slot, leases.c.token)
            statement = (
                update(leases)
                .where(tuple_(*columns).in_(list(piece)))
                .values(expires_at=now() + ttl_s)
                .returning(*columns)
            )
            with self._database.write() as connection:
                still.update(piece[tuple(row)] for row in connection.execute(statement))
        return still

    def release(self, lease: Lease) -> bool:
        """Give the place back; False when the lease had lapsed and another has it."""
        given = {"of_account": lease.account, "of_slot": lease.slot, "of_token": lease.token}
        with self._database.write() as connection:
            return connection.execute(_RELEASE, given).rowcount > 0

    def busy(self, accounts: Collection[str]) -> dict[str, int]:
        """Places taken at each of the accounts."""
        query = (
            select(leases.c.account, func.count())
            .where(leases.c.account.in_(accounts), ~lapsed(leases.c.expires_at))
            .group_by(leases.c.account)
        )
        with self._database.read() as connection:
            taken = {account: count for account, count in connection.execute(query)}
        return dict.fromkeys(accounts, 0) | taken

    def _take(self, account: str, holder: str, places: int, ttl_s: float) -> Lease | None:
        token = secrets.token_hex(16)
        given = {"of_account": account, "places": places, "ttl_s": ttl_s}
        given |= {"token": token, "holder": holder}
        with self._database.write() as connection:
            slot = connection.scalar(_TAKE, given)
        return None if slot is None else Lease(account, slot, token)

    def _add_places(self, account: str, places: int) -> bool:
        """Make the rows of an account that has more places than it was ever asked for."""
        with self._database.read() as connection:
            if connection.scalar(_PLACES, {"of_account": account, "places": places}) == places:
                return False
        statement = self._database.insert(leases).on_conflict_do_nothing()
        free = {"account": account, "token": None, "holder": None, "expires_at": 0.0}
        with self._database.begin() as connection:
            connection.execute(statement, [free | {"slot": slot} for slot in range(places)])
        return True
