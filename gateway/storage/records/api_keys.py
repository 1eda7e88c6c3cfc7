"""The gateway's own keys, of which only digests are kept."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import Row, bindparam, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from gateway.domain.accounts import GatewayKey, Secret
from gateway.domain.errors import Conflict
from gateway.domain.money import Budget
from gateway.storage.db.engine import Database
from gateway.storage.db.schema import keys, teams
from gateway.storage.db.versions import raise_version, read_version

MADE_PREFIX = "gw-"

_TOPIC = "keys"
_RANDOM_BYTES = 30  # 40 characters


@dataclass(frozen=True, slots=True)
class KeyRecord:
    name: str
    last_four: str
    limits: str | None
    models: tuple[str, ...]
    created_at: float
    expires_at: float | None
    revoked_at: float | None
    team: str | None = None
    budget_day: int | None = None
    budget_month: int | None = None
    max_in_flight: int | None = None
    keep_prompts: bool = False


_COLUMNS = [keys.c[field.name] for field in fields(KeyRecord)]
_VALID = select(*_COLUMNS, keys.c.digest).where(
    keys.c.revoked_at.is_(None),
    or_(keys.c.expires_at.is_(None), keys.c.expires_at > bindparam("at")),
)


class KeyStore:
    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def create(
        self,
        name: str,
        *,
        limits: str | None = None,
        models: Collection[str] = (),
        **others: Any,
    ) -> tuple[KeyRecord, Secret]:
        """Make a key; the secret exists nowhere else and is to be shown once.

        `others` are fields of KeyRecord.

        Raises Conflict for a name that was ever used: jobs and files belong to names.
        """
        secret = Secret(f"{MADE_PREFIX}{secrets.token_urlsafe(_RANDOM_BYTES)}")
        statement = insert(keys).values(
            name=name,
            digest=secret.digest,
            last_four=secret.reveal()[-4:],
            limits=limits,
            models=sorted(models),
            created_at=self._clock(),
            **others,
        )
        try:
            with self._database.begin(durable=True) as connection:
                record = _record(connection.execute(statement.returning(*_COLUMNS)).one())
                raise_version(self._database, connection, _TOPIC)
        except IntegrityError:
            raise Conflict(f"There is or was a key called {name!r}.", param="name") from None
        return record, secret

    def valid(self) -> list[GatewayKey]:
        """Keys that are neither revoked nor expired now."""
        with self._database.read() as connection:
            found = connection.execute(_VALID, {"at": self._clock()}).all()
        return [_key(row) for row in found]

    def list(self) -> list[KeyRecord]:
        with self._database.read() as connection:
            found = connection.execute(select(*_COLUMNS).order_by(keys.c.created_at, keys.c.name))
            return [_record(row) for row in found]

    def revoke(self, name: str) -> bool:
        return self.change(name, revoked_at=self._clock()) is not None

    def change(self, name: str, **values: Any) -> KeyRecord | None:
        """Change fields of KeyRecord of a key that is not revoked; None where there is none."""
        statement = update(keys).where(keys.c.name == name, keys.c.revoked_at.is_(None))
        with self._database.begin(durable=True) as connection:
            found = connection.execute(statement.values(values).returning(*_COLUMNS)).first()
            if found is not None:
                raise_version(self._database, connection, _TOPIC)
        return _record(found) if found is not None else None

    def teams(self) -> dict[str, Budget]:
        with self._database.read() as connection:
            found = connection.execute(select(teams)).all()
        return {row.name: Budget(row.budget_day, row.budget_month) for row in found}

    def set_team(self, name: str, budget: Budget) -> None:
        values = {"budget_day": budget.day, "budget_month": budget.month}
        statement = self._database.insert(teams).values(name=name, **values)
        statement = statement.on_conflict_do_update(index_elements=["name"], set_=values)
        with self._database.begin(durable=True) as connection:
            connection.execute(statement)
            raise_version(self._database, connection, _TOPIC)

    def version(self) -> int:
        """Moves with every change of any key."""
        return read_version(self._database, _TOPIC)


def _key(row: Any) -> GatewayKey:
    return GatewayKey(
        name=row.name,
        digest=row.digest,
        limits=row.limits,
        models=frozenset(row.models),
        expires_at=row.expires_at,
        team=row.team,
        budget=Budget(row.budget_day, row.budget_month),
        max_in_flight=row.max_in_flight,
        keep_prompts=row.keep_prompts,
    )


def _record(row: Row[Any]) -> KeyRecord:
    return KeyRecord(**{**row._mapping, "models": tuple(row.models)})
