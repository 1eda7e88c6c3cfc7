"""Health of the accounts, shared by all processes: cooldowns, ejections, blocked models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from sqlalchemy import bindparam, select

from gateway.storage.db.engine import Database
from gateway.storage.db.schema import account_states
from gateway.storage.db.versions import raise_version

_TOPIC = "account_states"


@dataclass(frozen=True, slots=True)
class AccountState:
    """Health of one account. Times are unix seconds; `models`: until when, and why, by model."""

    account: str
    cool_until: float = 0.0
    cool_reason: str = ""
    quota_failures: int = 0
    ejected_until: float = 0.0
    eject_reason: str = ""
    ejections: int = 0
    models: Mapping[str, tuple[float, str]] = field(default_factory=dict)
    changed_at: float = 0.0


_NAMES = [f.name for f in fields(AccountState)]
_CHANGES = (
    select(account_states.c.revision, *[account_states.c[name] for name in _NAMES])
    .where(account_states.c.revision > bindparam("since"))
    .order_by(account_states.c.revision)
)


class AccountStateStore:
    def __init__(self, database: Database) -> None:
        self._database = database
        insert = database.insert(account_states)
        self._set = insert.on_conflict_do_update(
            index_elements=[account_states.c.account],
            set_={c.name: insert.excluded[c.name] for c in account_states.c if not c.primary_key},
        )

    def set(self, state: AccountState) -> int:
        """Replace what is known of the account; returns the revision of the change."""
        given: dict[str, Any] = {name: getattr(state, name) for name in _NAMES}
        given["models"] = {model: list(block) for model, block in state.models.items()}
        with self._database.begin() as connection:
            given["revision"] = raise_version(self._database, connection, _TOPIC)
            connection.execute(self._set, given)
        revision: int = given["revision"]
        return revision

    def changes(self, since: int) -> list[tuple[int, AccountState]]:
        """States set after the revision `since`, with their revisions, which ascend."""
        with self._database.read() as connection:
            found = connection.execute(_CHANGES, {"since": since}).all()
        return [(row[0], AccountState(*row[1:])) for row in found]
