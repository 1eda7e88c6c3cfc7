"""Calls in flight per process at accounts that have a maximum."""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import bindparam, delete, func, select, update

from gateway.storage.db.engine import Database
from gateway.storage.db.schema import slots

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
        one_more = database.insert(slots).values(
            account=bindparam("account"), process=bindparam("process"), in_flight=1
        )
        self._add = one_more.on_conflict_do_update(
            index_elements=[slots.c.account, slots.c.process],
            set_={"in_flight": slots.c.in_flight + 1},
        )

    def add(self, account: str, process: str) -> None:
        """Count one more call. It may begin once `holders` has shown that there is room for it.

        Of processes that count and then look, at most as many as have room find so.
        """
        with self._database.write() as connection:
            connection.execute(self._add, {"account": account, "process": process})

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
