"""Uploaded files: names that owners have given to stored media."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from dataclasses import fields

from sqlalchemy import ColumnElement, delete, insert, or_, select

from gateway.domain.media import FileRecord
from gateway.storage.db.engine import Database
from gateway.storage.db.rows import page, remove
from gateway.storage.db.schema import files

TEMPORARY_KEEP_S = 86_400  # of uploads with a caller's own credential


_COLUMNS = [files.c[field.name] for field in fields(FileRecord)]


class FileStore:
    """To anybody but its owner a file does not exist, nor to its owner once it has expired."""

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def create(
        self,
        *,
        owner: str,
        media_id: str,
        filename: str,
        purpose: str,
        size: int,
        mime_type: str,
        expires_at: float | None = None,
    ) -> FileRecord:
        """The media must be in the index."""
        file_id = f"file-{secrets.token_hex(12)}"
        new = insert(files).values(
            id=file_id,
            owner=owner,
            media_id=media_id,
            filename=filename,
            purpose=purpose,
            size=size,
            mime_type=mime_type,
            created_at=self._clock(),
            expires_at=expires_at,
        )
        with self._database.write(durable=True) as connection:
            connection.execute(new)
            row = connection.execute(select(*_COLUMNS).where(files.c.id == file_id)).one()
        return FileRecord(*row)

    def get(self, file_id: str, owner: str) -> FileRecord | None:
        query = select(*_COLUMNS).where(files.c.id == file_id, files.c.owner == owner, self._live())
        with self._database.read() as connection:
            row = connection.execute(query).first()
        return None if row is None else FileRecord(*row)

    def list(
        self,
        owner: str,
        *,
        purpose: str | None = None,
        after: str | None = None,
        limit: int = 100,
        order: str = "desc",
    ) -> list[FileRecord]:
        """The owner's files by age, "asc" or "desc", from the one that follows `after`."""
        query = select(*_COLUMNS).where(self._live())
        if purpose is not None:
            query = query.where(files.c.purpose == purpose)
        query = page(query, files, owner=owner, after=after, limit=limit, order=order)
        with self._database.read() as connection:
            return [FileRecord(*row) for row in connection.execute(query)]

    def delete(self, file_id: str, owner: str) -> bool:
        """Forget a file and tell whether there was one."""
        statement = delete(files).where(files.c.id == file_id, files.c.owner == owner, self._live())
        with self._database.write(durable=True) as connection:
            return connection.execute(statement).rowcount > 0

    def purge(self) -> int:
        """Forget what has expired."""
        return remove(self._database, files, files.c.expires_at <= self._clock())

    def _live(self) -> ColumnElement[bool]:
        return or_(files.c.expires_at.is_(None), self._clock() < files.c.expires_at)
