"""Requests that are sent again: one does the work, the others get its answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

import orjson

from gateway.domain.connection import shielded
from gateway.domain.errors import (
    GatewayError,
    IdempotencyKeyReused,
    StorageUnavailable,
    from_record,
    to_record,
)
from gateway.logs import log
from gateway.stores.database import Write
from gateway.stores.idempotency import Done, IdempotencyStore, Mismatch, New, Running

_LOOK_S = 0.25  # how often those who wait look whether the answer is there
_LOOKS = 8  # and every so many times, whether its holder is gone
_LEASE_S = 12.0
_FAILURES = "late failures"
_FAILURE_S = 60.0  # SDKs repeat a request within seconds


@dataclass(frozen=True, slots=True)
class Ticket:
    """The right, and the duty, to serve the request that holds a key."""

    token: str


@dataclass(frozen=True, slots=True)
class Attached:
    """An equal request has become this job."""

    job_id: str


class Idempotency:
    def __init__(self, store: IdempotencyStore) -> None:
        self._store = store
        self._served: set[str] = set()
        self._lock = threading.Lock()

    def begin(self, scope: str, key: str, fingerprint: str) -> Ticket | Attached | Done:
        """Win the key, or wait until its holder has become a job or has answered.

        A Ticket must be ended by `finish`, `abandon` or `leave`. Raises IdempotencyKeyReused
        and StorageUnavailable.
        """
        looks = 0
        while True:
            if looks % _LOOKS == 0:
                ticket, found = self._win(scope, key, fingerprint)
                if ticket is not None:
                    return ticket
            else:
                found = self._store.look(scope, key, fingerprint)
            match found:
                case Mismatch():
                    raise IdempotencyKeyReused(
                        "This Idempotency-Key was used with another request; use a new one.",
                        param="Idempotency-Key",
                    )
                case Done():
                    return found
                case Running(job_id) if job_id is not None:
                    return Attached(job_id)
                case None:  # it was given up
                    looks = 0
                case _:
                    looks += 1
                    time.sleep(_LOOK_S)

    def _win(
        self, scope: str, key: str, fingerprint: str
    ) -> tuple[Ticket | None, Running | Done | Mismatch | None]:
        ticket = None
        try:
            with shielded():  # a key that is won is known to be
                found = self._store.begin(scope, key, fingerprint, lease_s=_LEASE_S)
                if not isinstance(found, New):
                    return None, found
                ticket = Ticket(found.token)
                with self._lock:
                    self._served.add(ticket.token)
        except BaseException:  # the interruption that came meanwhile
            if ticket is not None:
                self.abandon(ticket)
            raise
        return ticket, None

    def attach(self, ticket: Ticket, job_id: str) -> Write:
        """To be written with the job that the request becomes: it is not served again."""
        return self._store.attach(ticket.token, job_id)

    def finish(
        self,
        ticket: Ticket,
        *,
        status: int,
        headers: Mapping[str, str],
        body: bytes,
        keep_s: float | None = None,
    ) -> None:
        """Keep the answer for those who ask again: for as long as the key, or for `keep_s`."""
        try:
            self._store.finish(
                ticket.token, status=status, headers=headers, body=body, keep_s=keep_s
            )
        except StorageUnavailable as err:
            log.warning("answer_not_kept", message=err.message)
        self.leave(ticket)

    def abandon(self, ticket: Ticket, job_id: str | None = None) -> None:
        """Nothing came of it, or of the job it became: the request may be sent again."""
        try:
            self._store.abandon(ticket.token, job_id)
        except StorageUnavailable as err:
            log.warning("key_not_given_back", message=err.message)  # its lease will lapse
        self.leave(ticket)

    def leave(self, ticket: Ticket) -> None:
        """A job answers for the key from now on."""
        with self._lock:
            self._served.discard(ticket.token)

    def renew(self) -> None:
        """Hold the keys of the requests that this process serves."""
        with self._lock:
            tokens = list(self._served)
        if tokens:
            self._store.renew(tokens, lease_s=_LEASE_S)

    def purge(self) -> int:
        return self._store.purge()

    # -- failures that came too late for a status ----------------------------------------

    def note_failure(self, owner: str, fingerprint: str, err: GatewayError) -> None:
        """Remember a failure for the automatic repetition of its request."""
        try:
            found = self._store.begin(
                f"{_FAILURES} {owner}", fingerprint, fingerprint, ttl_s=_FAILURE_S
            )
            if isinstance(found, New):
                body = orjson.dumps(to_record(err) | {"sent": True})
                self._store.finish(found.token, status=err.status, headers={}, body=body)
        except StorageUnavailable as away:
            log.warning("failure_not_kept", message=away.message)

    def late_failure(self, owner: str, fingerprint: str) -> GatewayError | None:
        """The failure that the same request met just now, unseen by its sender."""
        found = self._store.look(f"{_FAILURES} {owner}", fingerprint, fingerprint)
        return from_record(orjson.loads(found.body)) if isinstance(found, Done) else None
