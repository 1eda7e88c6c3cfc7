"""Index of the stored media: their owners, and their last use."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Result,
    and_,
    bindparam,
    delete,
    exists,
    func,
    select,
    update,
)

from gateway.domain.jobs import FINAL
from gateway.domain.media import StoredMedia
from gateway.storage.db.engine import Database, Write
from gateway.storage.db.schema import files, job_media, jobs, media, media_owners

_COLUMNS = [
    *(media.c.id, media.c.extension, media.c.mime_type),
    *(media.c.size, media.c.width, media.c.height),
]
_THIS = media.c.id == bindparam("of_id")
_GET = select(*_COLUMNS).where(_THIS)
_OWNED = _GET.join(media_owners).where(media_owners.c.owner == bindparam("of_owner"))


class MediaIndex:
    def __init__(
        self,
        database: Database,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._clock = clock

    def add(self, stored: StoredMedia, owner: str, *, temporary: bool = False) -> None:
        """Note that the media are there, in use now, and also the owner's.

        `temporary` media go a day after their last use.
        """
        used = self._clock()
        entry = self._database.insert(media).values(
            id=stored.id,
            extension=stored.extension,
            mime_type=stored.mime_type,
            size=stored.size,
            width=stored.width,
            height=stored.height,
            created_at=used,
            last_used_at=used,
        )
        entry = entry.on_conflict_do_update(
            index_elements=[media.c.id], set_={"last_used_at": entry.excluded.last_used_at}
        )
        own = self._database.insert(media_owners).values(
            media_id=stored.id, owner=owner, temporary=temporary
        )
        if not temporary:
            key = [media_owners.c.media_id, media_owners.c.owner]
            own = own.on_conflict_do_update(index_elements=key, set_={"temporary": False})
        else:
            own = own.on_conflict_do_nothing()
        with self._database.begin() as connection:
            connection.execute(entry)
            connection.execute(own)

    def temporary_bytes(self) -> int:
        """Size of all temporary media; media of two owners count twice."""
        query = select(func.sum(media.c.size)).join(media_owners)
        with self._database.read() as connection:
            return int(connection.scalar(query.where(media_owners.c.temporary)) or 0)

    def get(self, media_id: str) -> StoredMedia | None:
        with self._database.read() as connection:
            return _stored(connection.execute(_GET, {"of_id": media_id}))

    def owned(self, media_id: str, owner: str) -> StoredMedia | None:
        with self._database.read() as connection:
            return _stored(connection.execute(_OWNED, {"of_id": media_id, "of_owner": owner}))

    def touch(self, media_ids: Collection[str]) -> None:
        """They are in use now."""
        statement = update(media).where(media.c.id.in_(media_ids))
        with self._database.write() as connection:
            connection.execute(statement.values(last_used_at=self._clock()))

    def need(self, job_id: str, media_ids: Collection[str]) -> Write:
        """To be written with a job that reads them: they stay until it has ended."""
        links = [{"job_id": job_id, "media_id": media_id} for media_id in media_ids]
        statement = self._database.insert(job_media).on_conflict_do_nothing()
        return lambda connection: links and connection.execute(statement, links)

    def candidates(
        self, *, unused_since: float, temporary: bool = False, limit: int = 100
    ) -> list[StoredMedia]:
        """Media that nothing needs and nobody used since then, least recently used first.

        With `temporary`, of those alone; their files count for nothing.
        """
        query = (
            select(*_COLUMNS)
            .where(_unneeded(unused_since, temporary=temporary))
            .order_by(media.c.last_used_at)
            .limit(limit)
        )
        with self._database.read() as connection:
            return [StoredMedia(*row) for row in connection.execute(query)]

    def total_bytes(self) -> int:
        with self._database.read() as connection:
            return int(connection.scalar(select(func.sum(media.c.size))) or 0)

    def remove(self, media_id: str, *, unused_since: float, temporary: bool = False) -> bool:
        """Forget a candidate, if it still is one; only then may its bytes go."""
        this = and_(media.c.id == media_id, _unneeded(unused_since, temporary=temporary))
        with self._database.begin() as connection:
            if temporary:
                named = files.c.media_id == media_id
                connection.execute(delete(files).where(named, exists().where(this)))
            return connection.execute(delete(media).where(this)).rowcount > 0


def _unneeded(unused_since: float, *, temporary: bool) -> ColumnElement[bool]:
    in_job = exists().where(
        job_media.c.media_id == media.c.id,
        jobs.c.id == job_media.c.job_id,
        jobs.c.status.not_in(FINAL),
    )
    unused = and_(media.c.last_used_at < unused_since, ~in_job)
    if temporary:
        own = media_owners.c.media_id == media.c.id
        temporarily = media_owners.c.temporary
        return and_(unused, exists().where(own, temporarily), ~exists().where(own, ~temporarily))
    return and_(unused, ~exists().where(files.c.media_id == media.c.id))


def _stored(result: Result[*tuple[Any, ...]]) -> StoredMedia | None:
    row = result.first()
    return None if row is None else StoredMedia(*row)
