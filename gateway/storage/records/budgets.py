"""Budgets: what is spent and reserved of each, and the reservations of calls under way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, delete, select, tuple_, update

from gateway.domain.errors import BudgetExceeded
from gateway.domain.money import reset_at
from gateway.storage.db import rows
from gateway.storage.db.engine import Database
from gateway.storage.db.schema import jobs, reservations, spending

_FINAL = ("completed", "failed", "cancelled")


class Share(NamedTuple):
    """One budget in one period, of which at most `limit` nanos may be spent."""

    budget: str
    period: str
    limit: int


@dataclass(frozen=True, slots=True)
class Spending:
    budget: str
    period: str
    spent: int
    reserved: int


class BudgetStore:
    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def reserve(self, id_: str, amount: int, shares: Sequence[Share]) -> int:
        """Reserve the amount in all budgets or none; returns what the tightest one has left.

        Raises BudgetExceeded, naming the budget.
        """
        with self._database.begin() as connection:
            return self.reserve_with(connection, id_, amount, shares)

    def reserve_with(
        self, connection: Connection, id_: str, amount: int, shares: Sequence[Share]
    ) -> int:
        """As `reserve`, in a transaction that also writes what is reserved for."""
        # Everybody locks in the same order.
        left = min(self._add(connection, share, amount) for share in sorted(shares))
        connection.execute(
            reservations.insert().values(
                id=id_,
                budgets=[[share.budget, share.period] for share in shares],
                amount=amount,
                created_at=self._clock(),
            )
        )
        return left

    def _add(self, connection: Connection, share: Share, amount: int) -> int:
        row = self._database.insert(spending).values(
            budget=share.budget, period=share.period, spent=0, reserved=0
        )
        connection.execute(row.on_conflict_do_nothing())
        wanted = spending.c.spent + spending.c.reserved + amount
        statement = (
            update(spending)
            .where(spending.c.budget == share.budget, spending.c.period == share.period)
            .where(wanted <= share.limit)
            .values(reserved=spending.c.reserved + amount)
            .returning(spending.c.spent + spending.c.reserved)
        )
        used = connection.scalar(statement)
        if used is None:
            wait_s = max(1.0, reset_at(share.period) - self._clock())
            raise BudgetExceeded(share.budget, share.period, retry_after=wait_s)
        return share.limit - int(used)

    def settle(self, id_: str, cost: int) -> bool:
        """Turn the reservation into what the call cost; False when there is none (any more)."""
        with self._database.begin() as connection:
            found = connection.execute(
                delete(reservations)
                .where(reservations.c.id == id_)
                .returning(reservations.c.budgets, reservations.c.amount)
            ).first()
            if found is None:
                return False
            for budget, period in sorted(found.budgets):
                connection.execute(
                    update(spending)
                    .where(spending.c.budget == budget, spending.c.period == period)
                    .values(
                        reserved=spending.c.reserved - found.amount,
                        spent=spending.c.spent + cost,
                    )
                )
        return True

    def spent(self, shares: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Spending]:
        """By budget and period; what has no row is not spent."""
        wanted = list(shares)
        query = select(spending).where(tuple_(spending.c.budget, spending.c.period).in_(wanted))
        with self._database.read() as connection:
            found = [Spending(**row._mapping) for row in connection.execute(query)]
        return {(row.budget, row.period): row for row in found}

    def of_ended_jobs(self, *, limit: int = 100) -> list[str]:
        """Jobs that have ended and whose reservation nobody has settled."""
        query = (
            select(reservations.c.id)
            .join(jobs, jobs.c.id == reservations.c.id)
            .where(jobs.c.status.in_(_FINAL))
            .limit(limit)
        )
        with self._database.read() as connection:
            return list(connection.scalars(query))

    def purge(self, older_than: float) -> int:
        """Forget reservations whose outcome nobody will learn, of periods long over."""
        return rows.remove(self._database, reservations, reservations.c.created_at < older_than)
