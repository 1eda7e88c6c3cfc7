"""Requests that are sent again: one does the work, the others get its answer."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

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
from gateway.storage.records.idempotency import Done, IdempotencyStore, Mismatch, New, Running

_LOOK_S = 0.25  # how often one of those who wait looks whether the answer is there
_LOOKS = 8  # and every so many times, whether its holder is gone
_LEASE_S = 12.0
_NOTHING_YET = Running(None)
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


class _Watch:
    """What those who wait in this process for one request know: one at a time looks for all."""

    __slots__ = ("due_at", "known", "looks", "waiting")

    def __init__(self) -> None:
        self.known: Running | Done | Mismatch | StorageUnavailable = _NOTHING_YET
        self.looks = 0
        self.due_at = 0.0
        self.waiting = 0


class Idempotency:
    def __init__(self, store: IdempotencyStore) -> None:
        self._store = store
        self._served: set[str] = set()
        self._watches: dict[tuple[str, str, str], _Watch] = {}
        self._lock = threading.Lock()

    def begin(self, scope: str, key: str, fingerprint: str) -> Ticket | Attached | Done:
        """Win the key, or wait until its holder has become a job or has answered.

        A Ticket must be ended by `finish`, `abandon` or `leave`. Raises IdempotencyKeyReused
        and StorageUnavailable.
        """
        with self._watch(scope, key, fingerprint) as watch:
            while True:
                ticket = self._look(watch, scope, key, fingerprint)
                if ticket is not None:
                    return ticket
                match watch.known:
                    case Mismatch():
                        raise IdempotencyKeyReused(
                            "This Idempotency-Key was used with another request; use a new one.",
                            param="Idempotency-Key",
                        )
                    case StorageUnavailable() as away:
                        raise away
                    case Done() as done:
                        return done
                    case Running(job_id) if job_id is not None:
                        return Attached(job_id)
                    case _ if watch.due_at:  # else it was given up
                        time.sleep(_LOOK_S)

    @contextmanager
    def _watch(self, scope: str, key: str, fingerprint: str) -> Iterator[_Watch]:
        name = scope, key, fingerprint
        with self._lock:
            watch = self._watches.setdefault(name, _Watch())
            watch.waiting += 1
        try:
            yield watch
        finally:
            with self._lock:
                watch.waiting -= 1
                if not watch.waiting:
                    del self._watches[name]

    def _look(self, watch: _Watch, scope: str, key: str, fingerprint: str) -> Ticket | None:
        """Win the key, or have `watch` know what became of it, unless another does that now."""
        if time.monotonic() < watch.due_at:
            return None
        watch.due_at, due_at = math.inf, 0.0  # if this one is interrupted, the next does it
        try:
            ticket, found = None, None
            if watch.looks % _LOOKS == 0:
                ticket, found = self._win(scope, key, fingerprint)
            else:
                found = self._store.look(scope, key, fingerprint)
            given_up = ticket is None and found is None
            watch.known = found or _NOTHING_YET
            watch.looks = 0 if given_up else watch.looks + 1
            due_at = 0.0 if given_up else time.monotonic() + _LOOK_S
        except StorageUnavailable as err:
            watch.known, due_at = err, time.monotonic() + _LOOK_S
        finally:
            watch.due_at = due_at
        return ticket

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
