"""Jobs, and the claims that make sure only one process moves each."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields, replace
from threading import Event, Thread
from typing import Any, get_args

from sqlalchemy import Row, and_, bindparam, delete, func, insert, or_, select, update

from gateway.domain.accounts import Kind
from gateway.domain.errors import Conflict, StorageUnavailable
from gateway.domain.jobs import FINAL, Job, Status
from gateway.storage.db.engine import Database, Write
from gateway.storage.db.rows import page, remove
from gateway.storage.db.schema import jobs, lapsed, now

_COLUMNS = [jobs.c[field.name] for field in fields(Job)]
_MOVING = jobs.c.status.in_([status for status in get_args(Status) if status not in FINAL])
_CHANGING = (
    *("status", "upstream", "account", "task_id"),
    *("progress", "result", "error", "completed_at"),
)
_THIS = jobs.c.id == bindparam("of_id")
_MINE = jobs.c.claimed_by == bindparam("of_claim")
_GET = select(*_COLUMNS).where(_THIS)
_CLAIM = (
    update(jobs)
    .where(_THIS, _MOVING, lapsed(jobs.c.claim_expires_at))
    .values(claim_expires_at=now() + bindparam("ttl_s"))
    .returning(*_COLUMNS)
)
_RENEW = update(jobs).where(_THIS, _MINE).values(claim_expires_at=now() + bindparam("ttl_s"))
_RELEASE = update(jobs).where(_THIS, _MINE).values(claimed_by=None, claim_expires_at=0.0)
_SAVE = update(jobs).where(_THIS, _MINE, _MOVING)


class ClaimLost(Conflict):
    """Another process moves the job now, or it has ended: stop, and change nothing."""


class Claim:
    """The right to move one job. `job` is as it was when the claim was won."""

    def __init__(self, database: Database, job: Job, token: str, ttl_s: float) -> None:
        self.job = job
        self.token = token
        self.lost = False
        self._database = database
        self._ttl_s = ttl_s

    def renew(self) -> bool:
        """Hold it for another `ttl_s`; False once it is lost."""
        given = {"of_id": self.job.id, "of_claim": self.token, "ttl_s": self._ttl_s}
        with self._database.write() as connection:
            self.lost = connection.execute(_RENEW, given).rowcount == 0
        return not self.lost

    @contextmanager
    def keep_alive(self) -> Iterator[None]:
        """Renew it in the background while the block runs, through failures of the database.

        After one it is tried more often: once the database is back, others may be at once.
        """
        done = Event()

        def beat() -> None:
            pause_s = self._ttl_s / 3
            while not (done.wait(pause_s) or self.lost):
                pause_s = self._ttl_s / 12
                with suppress(StorageUnavailable):
                    self.renew()
                    pause_s = self._ttl_s / 3

        thread = Thread(target=beat, name=f"claim-{self.job.id}", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


class JobStore:
    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._clock = clock

    def create(self, job: Job, along: Iterable[Write] = ()) -> Job:
        """Write the job down, and `along` with it: all of it or, when one raises, nothing."""
        job = replace(job, created_at=job.created_at or self._clock())
        values = {field.name: getattr(job, field.name) for field in fields(job)}
        with self._database.begin(durable=True) as connection:
            connection.execute(insert(jobs).values(**values, claim_expires_at=0.0))
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
        """Ids of unfinished jobs that nobody moves, in the order of ids, those after `after`."""
        query = select(jobs.c.id).where(_MOVING, lapsed(jobs.c.claim_expires_at))
        if after is not None:
            query = query.where(jobs.c.id > after)
        with self._database.write() as connection:  # so that it waits for what renewals wait for
            return list(connection.scalars(query.order_by(jobs.c.id).limit(limit)))

    def newest(self, limit: int, *, unfinished: bool) -> Sequence[Job]:
        """Jobs of all owners."""
        query = select(*_COLUMNS).order_by(jobs.c.created_at.desc(), jobs.c.id).limit(limit)
        with self._database.read() as connection:
            found = connection.execute(query.where(_MOVING) if unfinished else query)
            return [Job(*row) for row in found]

    def counts(self) -> dict[str, int]:
        """How many unfinished jobs there are of each status."""
        query = select(jobs.c.status, func.count()).where(_MOVING).group_by(jobs.c.status)
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

    def find_running(
        self, owner: str, fingerprint: str, *, ended_after: float | None = None
    ) -> Job | None:
        """The newest job of the same request that is unfinished, or ended after that time."""
        wanted = _MOVING if ended_after is None else or_(_MOVING, jobs.c.completed_at > ended_after)
        query = (
            select(*_COLUMNS)
            .where(jobs.c.owner == owner, jobs.c.fingerprint == fingerprint, wanted)
            .order_by(jobs.c.created_at.desc())
            .limit(1)
        )
        with self._database.read() as connection:
            return _job(connection.execute(query).first())

    @contextmanager
    def claim(self, job_id: str, *, ttl_s: float = 30) -> Iterator[Claim | None]:
        """The claim of an unfinished job, given back with the block; None when it is not free."""
        token = secrets.token_hex(16)
        given = {"of_id": job_id, "claimed_by": token, "ttl_s": ttl_s}
        with self._database.write() as connection:
            job = _job(connection.execute(_CLAIM, given).first())
        if job is None:
            yield None
            return
        try:
            yield Claim(self._database, job, token, ttl_s)
        finally:
            with suppress(StorageUnavailable):  # then it lapses by itself
                self._release(job_id, token)

    def save(self, job: Job, claim: Claim) -> Job:
        """Write what moving the job has changed. Raises ClaimLost, also when it has ended."""
        if job.done and job.completed_at is None:
            job = replace(job, completed_at=self._clock())
        given = {name: getattr(job, name) for name in _CHANGING}
        given |= {"of_id": job.id, "of_claim": claim.token}
        durable = job.status != "in_progress" or job.progress == 0  # what it has come to may wait
        with self._database.write(durable=durable) as connection:
            claim.lost = connection.execute(_SAVE, given).rowcount == 0
        if claim.lost:
            raise ClaimLost("The job is no longer this process's to move.")
        return job

    def cancel(self, job_id: str, owner: str) -> Job | None:
        """End an unfinished job, whoever moves it: their next save raises ClaimLost."""
        statement = (
            update(jobs)
            .where(jobs.c.id == job_id, jobs.c.owner == owner, _MOVING)
            .values(status="cancelled", completed_at=self._clock(), claimed_by=None)
            .returning(*_COLUMNS)
        )
        with self._database.write(durable=True) as connection:
            return _job(connection.execute(statement).first())

    def delete(self, job_id: str, owner: str) -> bool:
        """Forget a job that has ended."""
        statement = delete(jobs).where(jobs.c.id == job_id, jobs.c.owner == owner, ~_MOVING)
        with self._database.write(durable=True) as connection:
            return connection.execute(statement).rowcount > 0

    def purge(self, older_than: float, *, refused_before: float) -> int:
        """Forget jobs that ended before that time.

        And those that a vendor refused before `refused_before` for their owner's own credential,
        since any text is one: so anybody can make them.
        """
        refused = and_(
            jobs.c.completed_at < refused_before,
            jobs.c.status == "failed",
            jobs.c.owner.startswith("own:"),
            jobs.c.error["code"].as_string() == "invalid_api_key",
        )
        return remove(self._database, jobs, or_(jobs.c.completed_at < older_than, refused))

    def _release(self, job_id: str, token: str) -> None:
        with self._database.write() as connection:
            connection.execute(_RELEASE, {"of_id": job_id, "of_claim": token})


def _job(row: Row[*tuple[Any, ...]] | None) -> Job | None:
    return None if row is None else Job(*row)
