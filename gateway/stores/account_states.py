"""How each account fares, shared by all processes: cooling, quarantined, circuit open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, case, select, update

from gateway.stores import rows
from gateway.stores.database import Database
from gateway.stores.tables import account_states, now

_TOPIC = "account_states"


@dataclass(frozen=True, slots=True)
class AccountState:
    """Times are seconds from now, when written and when read, so that clocks may differ.

    `failures` counts quota failures in a row, `circuit_failures` those of the vendor.
    """

    account: str
    cool_s: float = 0.0
    reason: str = ""
    failures: int = 0
    quarantined: bool = False
    circuit_failures: int = 0
    circuit_s: float = 0.0


def _left(until: ColumnElement[float]) -> ColumnElement[float]:
    return case((until > now(), until - now()), else_=0.0)


_COLUMNS = [
    account_states.c.account,
    _left(account_states.c.cool_until),
    account_states.c.reason,
    account_states.c.failures,
    account_states.c.quarantined,
    account_states.c.circuit_failures,
    _left(account_states.c.circuit_until),
]


class AccountStateStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    def set(self, state: AccountState) -> None:
        """Replace what is known of the account; a probe that was under way is over."""
        values: dict[str, Any] = {
            "account": state.account,
            "cool_until": now() + state.cool_s if state.cool_s > 0 else 0.0,
            "reason": state.reason,
            "failures": state.failures,
            "quarantined": state.quarantined,
            "circuit_failures": state.circuit_failures,
            "circuit_until": now() + state.circuit_s if state.circuit_s > 0 else 0.0,
            "probe_until": 0.0,
        }
        with self._database.begin() as connection:
            values["revision"] = rows.bump(self._database, connection, _TOPIC)
            statement = self._database.insert(account_states).values(values)
            statement = statement.on_conflict_do_update(
                index_elements=[account_states.c.account],
                set_={name: statement.excluded[name] for name in values if name != "account"},
            )
            connection.execute(statement)

    def clear(self, account: str) -> None:
        """As good as new."""
        self.set(AccountState(account))

    def all(self) -> list[AccountState]:
        return self.changes(0)[0]

    def changes(self, since: int) -> tuple[list[AccountState], int]:
        """States set after the version `since`, and the version to ask with next time."""
        query = (
            select(account_states.c.revision, *_COLUMNS)
            .where(account_states.c.revision > since)
            .order_by(account_states.c.revision)
        )
        with self._database.read() as connection:
            found = connection.execute(query).all()
        return [AccountState(*row[1:]) for row in found], found[-1].revision if found else since

    def probe(self, account: str, *, ttl_s: float) -> bool:
        """Whether the caller is the one to try an account out; it has `ttl_s` to say how it went.

        An account without a state needs no probe.
        """
        statement = (
            update(account_states)
            .where(account_states.c.account == account, account_states.c.probe_until < now())
            .values(probe_until=now() + ttl_s)
        )
        with self._database.write() as connection:
            return connection.execute(statement).rowcount > 0
