"""Texts that are kept for their owner, encrypted, each with its time of expiry.

Answers of the Responses API, and prompts of images and videos.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence

from sqlalchemy import delete, insert, select, update

from gateway.domain.accounts import Secret
from gateway.storage.db.encryption import Encryption
from gateway.storage.db.engine import Database
from gateway.storage.db.schema import responses

RESPONSES = b"gateway stored responses"
PROMPTS = b"gateway prompts"


class ResponseStore:
    """To anybody but its owner a response does not exist, nor once it has expired."""

    def __init__(
        self,
        database: Database,
        *,
        secret_keys: Sequence[Secret],
        ttl_s: float,
        purpose: bytes = RESPONSES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._encryption = Encryption(secret_keys, purpose)
        self._ttl_s = ttl_s
        self._clock = clock

    def add(self, id_: str, owner: str, content: str, *, continues: Collection[str] = ()) -> None:
        """Store `content`; the responses that it continues are kept for as long as it is."""
        expires_at = self._clock() + self._ttl_s
        row = {"id": id_, "owner": owner, "expires_at": expires_at}
        encrypted = self._encryption.encrypt(content)
        with self._database.begin() as connection:
            connection.execute(insert(responses).values(content=encrypted, **row))
            if continues:
                continued = responses.c.id.in_(list(continues)), responses.c.owner == owner
                connection.execute(
                    update(responses).where(*continued).values(expires_at=expires_at)
                )

    def get(self, id_: str, owner: str) -> str | None:
        found = select(responses.c.content).where(
            responses.c.id == id_,
            responses.c.owner == owner,
            responses.c.expires_at > self._clock(),
        )
        with self._database.read() as connection:
            content = connection.execute(found).scalar()
        return None if content is None else self._encryption.decrypt(content)

    def delete(self, id_: str, owner: str) -> bool:
        statement = delete(responses).where(responses.c.id == id_, responses.c.owner == owner)
        with self._database.begin() as connection:
            return connection.execute(statement).rowcount > 0

    def purge(self) -> int:
        """Delete what has expired; returns how many."""
        statement = delete(responses).where(responses.c.expires_at <= self._clock())
        with self._database.begin() as connection:
            return connection.execute(statement).rowcount
