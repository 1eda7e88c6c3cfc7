"""Vendor accounts added by command, their secrets encrypted, and which are in service."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from sqlalchemy import Connection, Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from gateway.domain.accounts import Account, Secret
from gateway.domain.errors import Conflict, StorageUnavailable
from gateway.storage.db.encryption import Encryption
from gateway.storage.db.engine import Database
from gateway.storage.db.schema import account_switches, accounts
from gateway.storage.db.versions import raise_version, read_version

AccountStatus = Literal["enabled", "disabled", "draining"]

_TOPIC = "accounts"
_PURPOSE = b"gateway account secrets"


@dataclass(frozen=True, slots=True)
class AccountRecord:
    """An account as it is listed: without its secret, of which four characters show."""

    name: str
    upstream: str
    last_four: str
    base_url: str | None
    engine: str | None
    weight: int
    max_in_flight: int | None
    limits: Mapping[str, str]
    models: frozenset[str]
    status: AccountStatus
    created_at: float
    secret: bytes = field(repr=False)  # encrypted


_COLUMNS = [accounts.c[f.name] for f in fields(AccountRecord)]


class AccountStore:
    """The first of `secret_keys` encrypts, each may decrypt; listing needs none."""

    def __init__(
        self,
        database: Database,
        *,
        secret_keys: Sequence[Secret] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._encryption = Encryption(secret_keys, _PURPOSE)
        self._clock = clock

    def add(self, account: Account) -> AccountRecord:
        """Raises Conflict when the name is taken."""
        secret = account.secret.reveal()
        statement = insert(accounts).values(
            name=account.name,
            upstream=account.upstream,
            secret=self._encryption.encrypt(secret),
            last_four=_last_four(secret),
            base_url=account.base_url,
            engine=account.engine,
            weight=account.weight,
            max_in_flight=account.max_in_flight,
            limits=dict(account.limits),
            models=sorted(account.models),
            status="enabled",
            created_at=self._clock(),
        )
        try:
            with self._database.begin(durable=True) as connection:
                record = _record(connection.execute(statement.returning(*_COLUMNS)).one())
                raise_version(self._database, connection, _TOPIC)
        except IntegrityError:
            raise Conflict(f"There is an account {account.name!r}.", param="name") from None
        return record

    def list(self) -> list[AccountRecord]:
        with self._database.read() as connection:
            query = select(*_COLUMNS).order_by(accounts.c.created_at, accounts.c.name)
            return [_record(row) for row in connection.execute(query)]

    def get(self, name: str) -> AccountRecord | None:
        with self._database.read() as connection:
            query = select(*_COLUMNS).where(accounts.c.name == name)
            row = connection.execute(query).first()
        return None if row is None else _record(row)

    def unlock(self, record: AccountRecord) -> Account:
        """The account with its secret; StorageUnavailable when no secret key decrypts it."""
        secret = self._encryption.decrypt(record.secret)
        if secret is None:
            raise StorageUnavailable(
                f"The secret of account {record.name!r} was stored under another secret key."
            )
        return Account(
            name=record.name,
            upstream=record.upstream,
            secret=Secret(secret),
            base_url=record.base_url,
            engine=record.engine,
            weight=record.weight,
            max_in_flight=record.max_in_flight,
            limits=record.limits,
            models=record.models,
        )

    def is_current(self, record: AccountRecord) -> bool:
        """True when the first secret key decrypts the account's secret."""
        return self._encryption.is_current(record.secret)

    def rotate(self) -> int:
        """Encrypt the secrets with the first secret key; returns how many could be decrypted.

        The other secret keys may then be removed. Processes need not read the accounts again.
        """
        rotated = 0
        for record in self.list():
            if (secret := self._encryption.rotate(record.secret)) is None:
                continue
            as_read = accounts.c.name == record.name, accounts.c.secret == record.secret
            with self._database.begin(durable=True) as connection:
                connection.execute(update(accounts).where(*as_read).values(secret=secret))
            rotated += 1
        return rotated

    def change(self, account: Account) -> bool:
        """Change everything of a stored account but its secret and its upstream."""
        values = {
            "base_url": account.base_url,
            "engine": account.engine,
            "weight": account.weight,
            "max_in_flight": account.max_in_flight,
            "limits": dict(account.limits),
            "models": sorted(account.models),
        }
        statement = update(accounts).where(accounts.c.name == account.name).values(values)
        with self._database.begin(durable=True) as connection:
            return self._changed(connection.execute(statement).rowcount, connection)

    def set_status(self, name: str, status: AccountStatus) -> bool:
        """A draining account finishes what it has begun, jobs included, and takes nothing new."""
        statement = update(accounts).where(accounts.c.name == name).values(status=status)
        with self._database.begin(durable=True) as connection:
            return self._changed(connection.execute(statement).rowcount, connection)

    def switch(self, name: str, status: AccountStatus) -> None:
        """Set the status of an account of the settings, until the next call for it."""
        statement = self._database.insert(account_switches).values(account=name, status=status)
        statement = statement.on_conflict_do_update(
            index_elements=[account_switches.c.account], set_={"status": status}
        )
        with self._database.begin() as connection:
            connection.execute(statement)
            raise_version(self._database, connection, _TOPIC)

    def switches(self) -> dict[str, AccountStatus]:
        """Statuses set for accounts of the settings, by name."""
        with self._database.read() as connection:
            return {name: status for name, status in connection.execute(select(account_switches))}

    def remove(self, name: str) -> bool:
        statement = delete(accounts).where(accounts.c.name == name)
        with self._database.begin(durable=True) as connection:
            return self._changed(connection.execute(statement).rowcount, connection)

    def version(self) -> int:
        """Moves with every change of any account."""
        return read_version(self._database, _TOPIC)

    def _changed(self, count: int, connection: Connection) -> bool:
        if count:
            raise_version(self._database, connection, _TOPIC)
        return count > 0


def _last_four(secret: str) -> str:
    """Nothing of a short secret, nor of a document, whose end says nothing."""
    return secret[-4:] if len(secret) >= 16 and not secret.lstrip().startswith("{") else ""


def _record(row: Row[Any]) -> AccountRecord:
    return AccountRecord(**{**row._mapping, "models": frozenset(row.models)})
