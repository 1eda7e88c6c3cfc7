"""Requests that are sent again: one is served, equal ones get its answer."""

from __future__ import annotations

import time
from collections.abc import Mapping

import orjson

from gateway.domain.errors import (
    GatewayError,
    IdempotencyKeyReused,
    StorageUnavailable,
    from_record,
    to_record,
)
from gateway.runtime.interruption import shielded
from gateway.runtime.logs import log
from gateway.storage.db.engine import Write
from gateway.storage.records.idempotency import (
    Claim,
    Done,
    Found,
    IdempotencyStore,
    Mismatch,
    Running,
)

__all__ = ["Claim", "Done", "Idempotency", "Running"]

_POLL_S = 0.25
_LATE_FAILURES = "late failures"
_LATE_FAILURE_S = 60.0  # SDKs repeat a request within seconds


class Idempotency:
    def __init__(self, store: IdempotencyStore) -> None:
        self._store = store

    def begin(self, scope: str, key: str, fingerprint: str) -> Claim | Running | Done:
        """Claim the key, or wait until its holder has become a job or has answered.

        A Claim must be ended by `finish` or `abandon`, unless the request becomes a job;
        Running names a job. Raises IdempotencyKeyReused and StorageUnavailable.
        """
        while True:
            found: Claim | Found | None = self._claim(scope, key, fingerprint)
            while isinstance(found, Running) and found.job_id is None:
                time.sleep(_POLL_S)
                found = self._store.find(scope, key, fingerprint)
            if isinstance(found, Mismatch):
                raise IdempotencyKeyReused(
                    "This Idempotency-Key was used with another request; use a new one.",
                    param="Idempotency-Key",
                )
            if found is not None:
                return found

    def _claim(self, scope: str, key: str, fingerprint: str) -> Claim | Found:
        found: Claim | Found | None = None
        try:
            with shielded():  # a client that leaves meanwhile must not leave a claim behind
                found = self._store.begin(scope, key, fingerprint)
        except BaseException:  # the interruption, once the block has ended
            if isinstance(found, Claim):
                self.abandon(found)
            raise
        return found

    def attach(self, claim: Claim, job_id: str) -> Write:
        """To be written with the job that the request becomes: it is not served again."""
        return self._store.attach(claim, job_id)

    def finish(
        self,
        claim: Claim,
        *,
        status: int,
        headers: Mapping[str, str],
        body: bytes,
        keep_s: float | None = None,
    ) -> None:
        """Keep the answer for equal requests: for as long as the key, or for `keep_s`."""
        try:
            self._store.finish(claim, status=status, headers=headers, body=body, keep_s=keep_s)
        except StorageUnavailable as err:
            log.warning("answer_not_kept", message=err.message)

    def abandon(self, claim: Claim, job_id: str | None = None) -> None:
        """Free the key: nothing came of the request, or of the job that it became."""
        try:
            self._store.abandon(claim, job_id)
        except StorageUnavailable as err:
            log.warning("key_not_given_back", message=err.message)

    def purge(self) -> int:
        """Delete expired answers; returns how many."""
        return self._store.purge()

    # -- failures that came too late for a status ----------------------------------------

    def keep_late_failure(self, owner: str, fingerprint: str, err: GatewayError) -> None:
        """Keep a failure for the automatic repetition of its request."""
        scope = f"{_LATE_FAILURES} {owner}"
        try:
            found = self._store.begin(scope, fingerprint, fingerprint, ttl_s=_LATE_FAILURE_S)
            if isinstance(found, Claim):
                body = orjson.dumps(to_record(err) | {"sent": True})
                self._store.finish(found, status=err.status, headers={}, body=body)
        except StorageUnavailable as away:
            log.warning("failure_not_kept", message=away.message)

    def late_failure(self, owner: str, fingerprint: str) -> GatewayError | None:
        """The failure that the same request met just now, unseen by its sender."""
        found = self._store.find(f"{_LATE_FAILURES} {owner}", fingerprint, fingerprint)
        return from_record(orjson.loads(found.body)) if isinstance(found, Done) else None
