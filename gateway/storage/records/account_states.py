"""How each account fares, shared by all processes: cooling, quarantined, circuit open."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from sqlalchemy import ColumnElement, bindparam, case, select

from gateway.storage.db.engine import Database
from gateway.storage.db.schema import account_states, lapsed, now
from gateway.storage.db.versions import raise_version

_TOPIC = "account_states"
_WHATEVER = 2**63 - 1  # newer than every version


@dataclass(frozen=True, slots=True)
class AccountState:
    """Times are seconds from now, when written and when read, so that clocks may differ.

    `failures` counts quota failures in a row, `circuit_failures` those of the vendor;
    `proven`: the vendor has accepted the credential.
    """

    account: str
    cool_s: float = 0.0
    reason: str = ""
    failures: int = 0
    quarantined: bool = False
    circuit_failures: int = 0
    circuit_s: float = 0.0
    proven: bool = False


def _left(until: ColumnElement[float]) -> ColumnElement[float]:
    return case((until > now(), until - now()), else_=0.0)


_UNTIMED = ("reason", "failures", "quarantined", "circuit_failures", "proven")
_COLUMNS = [
    account_states.c.account,
    _left(account_states.c.cool_until),
    account_states.c.reason,
    account_states.c.failures,
    account_states.c.quarantined,
    account_states.c.circuit_failures,
    _left(account_states.c.circuit_until),
    account_states.c.proven,
]
_CHANGES = (
    select(account_states.c.revision, *_COLUMNS)
    .where(account_states.c.revision > bindparam("since"))
    .order_by(account_states.c.revision)
)


class AccountStateStore:
    def __init__(self, database: Database) -> None:
        self._database = database
        fresh = database.insert(account_states).values(
            cool_until=now() + bindparam("cool_s"),
            circuit_until=now() + bindparam("circuit_s"),
            probe_until=0.0,
        )
        self._set = fresh.on_conflict_do_update(
            index_elements=[account_states.c.account],
            set_={c.name: fresh.excluded[c.name] for c in account_states.c if not c.primary_key},
            where=account_states.c.revision <= bindparam("seen"),
        ).returning(account_states.c.revision)
        # Where nothing is known of an account, a row of revision 0 tells nobody anything.
        nothing = asdict(AccountState(""))
        known = {name: nothing[name] for name in _UNTIMED}
        known |= {"cool_until": 0.0, "circuit_until": 0.0, "revision": 0}
        claim = database.insert(account_states).values(
            account=bindparam("account"), probe_until=now() + bindparam("ttl_s"), **known
        )
        self._probe = claim.on_conflict_do_update(
            index_elements=[account_states.c.account],
            set_={"probe_until": claim.excluded.probe_until},
            where=lapsed(account_states.c.probe_until)
            & (account_states.c.revision <= bindparam("seen")),
        ).returning(account_states.c.account)

    def set(self, state: AccountState, *, seen: int | None = None) -> int | None:
        """Replace what is known of the account; a probe that was under way is over.

        Returns the version of the change; None, and nothing is changed, when the account
        was changed after the version `seen`.
        """
        given = asdict(state) | {"seen": _WHATEVER if seen is None else seen}
        with self._database.begin() as connection:
            given["revision"] = raise_version(self._database, connection, _TOPIC)
            revision: int | None = connection.execute(self._set, given).scalar()
        return revision

    def clear(self, account: str) -> None:
        """As good as new."""
        self.set(AccountState(account))

    def all(self) -> list[AccountState]:
        return self.changes(0)[0]

    def changes(self, since: int) -> tuple[list[AccountState], int]:
        """States set after the version `since`, and the version to ask with next time."""
        with self._database.read() as connection:
            found = connection.execute(_CHANGES, {"since": since}).all()
        return [AccountState(*row[1:]) for row in found], found[-1].revision if found else since

    def probe(self, account: str, *, ttl_s: float, seen: int | None = None) -> bool:
        """Whether the caller is the one to try an account out; it has `ttl_s` to say how it went.

        Nobody is who knows the account only as it was at the version `seen`, and it has changed.
        """
        given = {"account": account, "ttl_s": ttl_s, "seen": _WHATEVER if seen is None else seen}
        with self._database.write() as connection:
            return connection.execute(self._probe, given).first() is not None
