"""Prompts of jobs that have ended: kept, encrypted, only where the key of their owner allows it."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from gateway.domain.accounts import Caller
from gateway.domain.errors import StorageUnavailable
from gateway.domain.jobs import Job
from gateway.storage.records.responses import ResponseStore


class Prompts:
    def __init__(self, store: ResponseStore) -> None:
        self._store = store

    def keep(self, job: Job, caller: Caller) -> None:
        """Keep the job's prompt for the gallery, for as long as its media."""
        if caller.key is not None and caller.key.keep_prompts:
            with suppress(StorageUnavailable):
                self._store.add(_id(job), job.owner, job.request["prompt"])

    def read(self, job: Job) -> str | None:
        """The prompt of a job, if it was kept."""
        return self._store.get(_id(job), job.owner)


def without_prompt(job: Job) -> Job:
    """The job as it is kept once it has ended."""
    return replace(job, request={**job.request, "prompt": ""})


def _id(job: Job) -> str:
    return f"prompt_{job.id}"
