"""Jobs, and the claims that make sure only one process works on each."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any, get_args

from sqlalchemy import Row, and_, bindparam, delete, func, insert, or_, select, update

from gateway.domain.accounts import Kind
from gateway.domain.errors import Conflict, StorageUnavailable
from gateway.domain.jobs import FINAL, Job, Status
from gateway.storage.db.engine import Database, Write
from gateway.storage.db.processes import Processes
from gateway.storage.db.rows import page, remove
from gateway.storage.db.schema import jobs

_COLUMNS = [jobs.c[field.name] for field in fields(Job)]
_UNFINISHED = jobs.c.status.in_([status for status in get_args(Status) if status not in FINAL])
_CHANGING = (
    *("status", "upstream", "account", "task_id"),
    *("progress", "result", "error", "completed_at", "request"),
)
_THIS = jobs.c.id == bindparam("of_id")
_GET = select(*_COLUMNS).where(_THIS)
_CLAIMED_BY = select(jobs.c.claimed_by).where(_THIS, _UNFINISHED)
_CLAIM = (
    update(jobs)
    .where(_THIS, _UNFINISHED, jobs.c.claimed_by.is_not_distinct_from(bindparam("of_holder")))
    .returning(*_COLUMNS)
)
_MINE = update(jobs).where(_THIS, jobs.c.claimed_by == bindparam("of_process"))
_RELEASE = _MINE.values(claimed_by=None)
_SAVE = _MINE.where(_UNFINISHED)


class ClaimLost(Conflict):
    """Another process works on the job now, or it has ended: stop, and change nothing."""


class JobStore:
    """A job is claimed by a process; what a dead process claimed is free."""

    def __init__(
        self,
        database: Database,
        processes: Processes,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database = database
        self._processes = processes
        self._clock = clock
        self._unreleased: set[str] = set()  # while the database was away

    def create(self, job: Job, along: Iterable[Write] = (), *, claimed: bool = False) -> Job:
        """Write the job down, and `along` with it: all of it or, when one raises, nothing."""
        job = replace(job, created_at=job.created_at or self._clock())
        values = {field.name: getattr(job, field.name) for field in fields(job)}
        holder = self._processes.register() if claimed else None
        with self._database.begin(durable=True) as connection:
            connection.execute(insert(jobs).values(**values, claimed_by=holder))
            for write in along:
                write(connection)
        return job

    def get(self, job_id: str) -> Job | None:
        with self._database.read() as connection:
            return _job(connection.execute(_GET, {"of_id": job_id}).first())

    def get_owned(self, job_id: str, owner: str) -> Job | None:
        job = self.get(job_id)
        return job if job is not None and job.owner == owner else None

    def claimable(self, *, limit: int = 100, after: str | None = None) -> list[str]:
        """Ids of unfinished jobs that no living process claims, in their order after `after`."""
        while self._unreleased:
            self.release(self._unreleased.pop())
        claimed = jobs.c.claimed_by.in_(self._processes.alive())
        query = select(jobs.c.id).where(_UNFINISHED, or_(jobs.c.claimed_by.is_(None), ~claimed))
        if after is not None:
            query = query.where(jobs.c.id > after)
        with self._database.read() as connection:
            return list(connection.scalars(query.order_by(jobs.c.id).limit(limit)))

    def newest(self, limit: int, *, unfinished: bool) -> Sequence[Job]:
        """Jobs of all owners."""
        query = select(*_COLUMNS).order_by(jobs.c.created_at.desc(), jobs.c.id).limit(limit)
        with self._database.read() as connection:
            found = connection.execute(query.where(_UNFINISHED) if unfinished else query)
            return [Job(*row) for row in found]

    def counts(self) -> dict[str, int]:
        """Count the unfinished jobs of each status."""
        query = select(jobs.c.status, func.count()).where(_UNFINISHED).group_by(jobs.c.status)
        with self._database.read() as connection:
            return {status: count for status, count in connection.execute(query)}

    def list(
        self,
        owner: str,
        *,
        kinds: Collection[Kind] = (),
        after: str | None = None,
        limit: int = 20,
        order: str = "desc",
    ) -> list[Job]:
        """The owner's jobs by age, "asc" or "desc", from the one that follows `after`."""
        query = select(*_COLUMNS)
        if kinds:
            query = query.where(jobs.c.kind.in_(kinds))
        query = page(query, jobs, owner=owner, after=after, limit=limit, order=order)
        with self._database.read() as connection:
            return [Job(*row) for row in connection.execute(query)]

    def search(
        self,
        owner: str,
        *,
        kind: Kind,
        statuses: Collection[Status] | None,
        model: str | None,
        ids: Collection[str] | None,
        offset: int,
        limit: int,
    ) -> tuple[Sequence[Job], int]:
        """The owner's jobs that match, the newest first from `offset`, and how many match."""
        wanted = [jobs.c.owner == owner, jobs.c.kind == kind]
        if statuses is not None:
            wanted.append(jobs.c.status.in_(statuses))
        if model is not None:
            wanted.append(jobs.c.model == model)
        if ids is not None:
            wanted.append(jobs.c.id.in_(ids))
        query = select(*_COLUMNS).where(*wanted).order_by(jobs.c.created_at.desc(), jobs.c.id)
        with self._database.read() as connection:
            total = connection.scalar(select(func.count()).select_from(jobs).where(*wanted)) or 0
            found = connection.execute(query.offset(offset).limit(limit))
            return [Job(*row) for row in found], total

    def find_running(
        self, owner: str, fingerprint: str, *, finished_after: float | None = None
    ) -> Job | None:
        """The newest job of the same request that is unfinished, or finished after that time."""
        wanted = (
            _UNFINISHED
            if finished_after is None
            else or_(_UNFINISHED, jobs.c.completed_at > finished_after)
        )
        query = (
            select(*_COLUMNS)
            .where(jobs.c.owner == owner, jobs.c.fingerprint == fingerprint, wanted)
            .order_by(jobs.c.created_at.desc())
            .limit(1)
        )
        with self._database.read() as connection:
            return _job(connection.execute(query).first())

    @contextmanager
    def claim(self, job_id: str, *, created: Job | None = None) -> Iterator[Job | None]:
        """The unfinished job, claimed until the block ends; None when it is not free.

        `created` is the job if it was created as claimed.
        """
        job = created or self._claim(job_id)
        if job is None:
            yield None
            return
        try:
            yield job
        finally:
            self.release(job_id)

    def _claim(self, job_id: str) -> Job | None:
        process = self._processes.register()
        given = {"of_id": job_id, "of_holder": None, "claimed_by": process}
        with self._database.write() as connection:
            job = _job(connection.execute(_CLAIM, given).first())
        if job is not None:
            return job
        with self._database.read() as connection:
            holder = connection.scalar(_CLAIMED_BY, {"of_id": job_id})
        if holder is None or not self._processes.dead([holder]):
            return None
        with self._database.write() as connection:
            return _job(connection.execute(_CLAIM, given | {"of_holder": holder}).first())

    def release(self, job_id: str) -> None:
        """Give the claim of this process back; later, while the database is away."""
        try:
            with self._database.write() as connection:
                connection.execute(_RELEASE, {"of_id": job_id, "of_process": self._processes.id})
        except StorageUnavailable:
            self._unreleased.add(job_id)

    def save(self, job: Job) -> Job:
        """Write the changes of a job that this process claims.

        Raises ClaimLost, also when the job has ended.
        """
        if job.done and job.completed_at is None:
            job = replace(job, completed_at=self._clock())
        given = {name: getattr(job, name) for name in _CHANGING}
        given |= {"of_id": job.id, "of_process": self._processes.id}
        durable = job.status != "in_progress" or job.progress == 0  # progress may be lost
        with self._database.write(durable=durable) as connection:
            if connection.execute(_SAVE, given).rowcount == 0:
                raise ClaimLost("The job is no longer claimed by this process.")
        return job

    def cancel(self, job_id: str, owner: str) -> Job | None:
        """End an unfinished job, whoever claims it: their next save raises ClaimLost."""
        statement = (
            update(jobs)
            .where(jobs.c.id == job_id, jobs.c.owner == owner, _UNFINISHED)
            .values(status="cancelled", completed_at=self._clock(), claimed_by=None)
            .returning(*_COLUMNS)
        )
        with self._database.write(durable=True) as connection:
            return _job(connection.execute(statement).first())

    def delete(self, job_id: str, owner: str) -> bool:
        """Delete a job that has ended."""
        statement = delete(jobs).where(jobs.c.id == job_id, jobs.c.owner == owner, ~_UNFINISHED)
        with self._database.write(durable=True) as connection:
            return connection.execute(statement).rowcount > 0

    def purge(self, older_than: float, *, refused_before: float) -> int:
        """Delete jobs that ended before that time.

        Also those that a vendor refused before `refused_before` for their owner's own
        credential: any text is one, so anybody can make such jobs.
        """
        refused = and_(
            jobs.c.completed_at < refused_before,
            jobs.c.status == "failed",
            jobs.c.owner.startswith("own:"),
            jobs.c.error["code"].as_string() == "invalid_api_key",
        )
        return remove(self._database, jobs, or_(jobs.c.completed_at < older_than, refused))


def _job(row: Row[*tuple[Any, ...]] | None) -> Job | None:
    return None if row is None else Job(*row)
