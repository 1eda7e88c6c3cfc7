"""Calls in flight per process at accounts that have a maximum."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import bindparam, delete, func, literal, select, update

from gateway.storage.db.engine import Database
from gateway.storage.db.schema import slots

_LOCK = ""  # process of the row that serialises the acquisitions of an account
_TOTAL = (
    select(func.coalesce(func.sum(slots.c.in_flight), 0))
    .where(slots.c.account == bindparam("of_account"))
    .scalar_subquery()
)
_RELEASE = (
    update(slots)
    .where(
        slots.c.account == bindparam("of_account"),
        slots.c.process == bindparam("of_process"),
        slots.c.in_flight >= bindparam("count"),
    )
    .values(in_flight=slots.c.in_flight - bindparam("count"))
)
_HOLDERS = select(slots.c.process, slots.c.in_flight).where(
    slots.c.account == bindparam("of_account"), slots.c.in_flight > 0
)


class SlotStore:
    def __init__(self, database: Database) -> None:
        self._database = database
        lock = database.insert(slots).values(
            account=bindparam("of_account"), process=_LOCK, in_flight=0
        )
        self._lock = lock.on_conflict_do_update(
            index_elements=[slots.c.account, slots.c.process], set_={"in_flight": 0}
        )
        one_more = database.insert(slots).from_select(
            ["account", "process", "in_flight"],
            select(bindparam("of_account"), bindparam("of_process"), literal(1)).where(
                bindparam("max_in_flight") > _TOTAL
            ),
        )
        self._acquire = one_more.on_conflict_do_update(
            index_elements=[slots.c.account, slots.c.process],
            set_={"in_flight": slots.c.in_flight + 1},
        ).returning(slots.c.in_flight)

    def acquire(self, account: str, process: str, max_in_flight: int) -> bool:
        """Take a slot of the account; False when all are taken."""
        given = {"of_account": account, "of_process": process, "max_in_flight": max_in_flight}
        with self._database.begin() as connection:
            connection.execute(self._lock, {"of_account": account})
            # A statement of its own: it sees what others committed before the lock was free.
            return connection.execute(self._acquire, given).first() is not None

    def release(self, account: str, process: str, count: int = 1) -> None:
        given = {"of_account": account, "of_process": process, "count": count}
        with self._database.write() as connection:
            connection.execute(_RELEASE, given)

    def holders(self, account: str) -> dict[str, int]:
        """Calls in flight by process."""
        with self._database.read() as connection:
            return {p: n for p, n in connection.execute(_HOLDERS, {"of_account": account})}

    def free(self, account: str, processes: Collection[str]) -> None:
        """Drop what dead processes held."""
        statement = delete(slots).where(
            slots.c.account == account, slots.c.process.in_(list(processes))
        )
        with self._database.write() as connection:
            connection.execute(statement)

    def in_flight(self, accounts: Collection[str]) -> dict[str, int]:
        """Slots taken at each of the accounts."""
        query = (
            select(slots.c.account, func.sum(slots.c.in_flight))
            .where(slots.c.account.in_(list(accounts)))
            .group_by(slots.c.account)
        )
        with self._database.read() as connection:
            taken = {account: count for account, count in connection.execute(query)}
        return dict.fromkeys(accounts, 0) | taken
