"""Access tokens of vendors, shared by all processes; they are encrypted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import delete, select, update

from gateway.domain.accounts import Secret
from gateway.storage.db.encryption import Sealer
from gateway.storage.db.engine import Database
from gateway.storage.db.schema import lapsed, now, tokens

_PURPOSE = b"gateway access tokens"
_FORGOTTEN_S = 86400.0  # after its end


class StoredToken(NamedTuple):
    text: str
    left_s: float


class TokenStore:
    def __init__(self, database: Database, *, secret_keys: Sequence[Secret]) -> None:
        self._database = database
        self._sealer = Sealer(secret_keys, _PURPOSE)

    def get(self, key: str) -> StoredToken | None:
        """None when there is none, or when it was stored under another secret key."""
        left_s = tokens.c.expires_at - now()
        query = select(tokens.c.token, left_s).where(tokens.c.key == key, left_s > 0)
        with self._database.read() as connection:
            row = connection.execute(query).first()
        text = None if row is None or row[0] is None else self._sealer.open(row[0])
        return None if row is None or text is None else StoredToken(text, row[1])

    def claim(self, key: str, *, ttl_s: float) -> bool:
        """Whether the caller is the one to fetch the next, within `ttl_s`."""
        fresh = {"key": key, "token": None, "expires_at": 0.0, "fetched_until": 0.0}
        claim = (
            update(tokens)
            .where(tokens.c.key == key, lapsed(tokens.c.fetched_until))
            .values(fetched_until=now() + ttl_s)
        )
        with self._database.begin() as connection:
            connection.execute(self._database.insert(tokens).on_conflict_do_nothing(), fresh)
            return connection.execute(claim).rowcount > 0

    def put(self, key: str, text: str, *, left_s: float) -> None:
        """Store what was fetched, which ends the claim."""
        store = (
            update(tokens)
            .where(tokens.c.key == key)
            .values(token=self._sealer.seal(text), expires_at=now() + left_s, fetched_until=0.0)
        )
        old = delete(tokens).where(tokens.c.expires_at.between(1, now() - _FORGOTTEN_S))
        with self._database.begin() as connection:
            connection.execute(store)
            connection.execute(old)

    def give_up(self, key: str) -> None:
        """End a claim without a token."""
        statement = update(tokens).where(tokens.c.key == key).values(fetched_until=0.0)
        with self._database.write() as connection:
            connection.execute(statement)
