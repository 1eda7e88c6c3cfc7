"""Vendor sessions, none of which may outlive its request.

A row is written before the vendor is asked to create a session and removed once the vendor
has confirmed that it is gone. Whatever a crash leaves behind is found by its lapsed lease,
and by the label that it carries at the vendor.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from random import shuffle

from gateway.domain.accounts import Account
from gateway.domain.errors import (
    AccountRejected,
    Forbidden,
    GatewayError,
    InvalidApiKey,
    StorageUnavailable,
    UpstreamError,
)
from gateway.runtime.concurrent import concurrent_map
from gateway.runtime.interruption import shielded
from gateway.runtime.logs import log
from gateway.services.pool.pool import Pool
from gateway.services.sessions.calm import Calm
from gateway.storage.records.journal import JournaledSession, SessionJournalStore
from gateway.upstreams.base import SessionReaper, Upstream

_LEASE_S = 12.0  # renewed every 3 seconds
_RETRY_S = (2.0, 5.0, 15.0, 30.0, 60.0, 300.0, 900.0)
_LOOKS = 5  # two minutes: then a session that was never seen was never made
_MOST_ATTEMPTS = 100  # a day, for an account that nobody knows any more
_OWN_ATTEMPTS = 12  # an hour and a half, for which a caller's credential is kept at most
_REFUSED = (InvalidApiKey, Forbidden, AccountRejected)
_ROWS = 100  # taken over in one sweep
_SWEEP_S = 120.0  # and left alone by the others for so long
_SIDE_BY_SIDE = 8
_STRAY_S = 600.0  # unknown for so long, a session belongs to no request
_FORGOTTEN_S = 86_400.0
_ACCOUNTS_A_ROUND = 10


@dataclass(slots=True)
class _Owned:
    """A session to be deleted with a caller's own credential, which only this process has."""

    account: Account
    attempts: int = 0
    due_at: float = 0.0


class Sessions:
    """The journal that upstreams are given (`upstreams.base.SessionJournal`), and its sweeper."""

    def __init__(
        self,
        store: SessionJournalStore,
        pool: Pool,
        upstream: Callable[[str], Upstream],
        *,
        stray_s: float = _STRAY_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._stray_s = stray_s
        self._pool = pool
        self._upstream = upstream
        self._clock = clock
        self._made = uuid.uuid4().hex
        self._mark: str | None = None
        self._open: set[str] = set()
        self._untold: dict[str, bool] = {}  # deleted or given up, while the journal was away
        self._own: dict[str, _Owned] = {}
        self._strays: dict[str, float] = {}  # when each was seen first
        self._round: list[str] = []
        self._calm = Calm(_LEASE_S, clock=clock)
        self.leaked = 0  # sessions that nobody can delete: their credential is gone

    @contextmanager
    def session(
        self,
        account: Account,
        *,
        create: Callable[[str], str],
        delete: Callable[[str], None],
        keep: bool = False,
    ) -> Iterator[str]:
        """See `upstreams.base.SessionJournal`.

        An interruption while the vendor creates the session is not waited out: the row
        stays, and the sweeper looks for the label. A caller's own credential is not
        written down, so only this process can delete such a session.
        """
        label = self._label(keep=keep)
        name: str | None = None
        unsent = True
        self._open.add(label)
        try:
            with shielded():  # or the row might be there without anybody knowing
                self._store.add(
                    label,
                    upstream=account.upstream,
                    account=None if account.own else account.name,
                    owner_token=self._owner,
                    ttl_s=_LEASE_S,
                )
            unsent = False
            try:
                name = create(label)
            except GatewayError as err:
                unsent = not err.sent
                raise
            if account.own:
                self._note_name(label, name)
            yield name
        finally:
            with shielded():
                kept = keep and name is not None
                self._end(label, name, account, delete, deleted=unsent or kept)

    def _end(
        self,
        label: str,
        name: str | None,
        account: Account,
        delete: Callable[[str], None],
        *,
        deleted: bool,
    ) -> None:
        if not deleted and name is not None:
            try:
                delete(name)
                deleted = True
            except GatewayError as err:
                log.warning("session_not_deleted", label=label, code=err.code, message=err.message)
        if account.own and not deleted:
            self._own[label] = _Owned(account)  # and its row stays ours
        else:
            self._tell(label, deleted=deleted)
        self._open.discard(label)

    def _tell(self, label: str, *, deleted: bool) -> None:
        """Tell the journal what became of a session; what it does not take it is told again."""
        try:
            if deleted:
                self._store.closed(label)
            else:
                self._store.failed(label, retry_in_s=0)
        except StorageUnavailable:
            self._untold[label] = deleted

    @property
    def _owner(self) -> str:
        """This process: with `--preload` several are made of one that was there before."""
        return f"{self._made}-{os.getpid()}"

    def _label(self, *, keep: bool) -> str:
        """What is kept on purpose has a label that no sweep for strays looks for."""
        unique = uuid.uuid4().hex
        return f"kept-{unique}" if keep else f"{self.mark()}{unique}"

    def mark(self) -> str:
        """How the labels of this installation begin; others may share its accounts."""
        if self._mark is None:
            self._mark = f"gw-{self._store.installation()}-"
        return self._mark

    def _note_name(self, label: str, name: str) -> None:
        with suppress(StorageUnavailable):  # it only helps whoever reads of a leak
            self._store.named(label, name)

    # -- tasks ------------------------------------------------------------------------

    def renew(self) -> None:
        """Hold the rows of this process; every few seconds, also while it ends."""
        for label in tuple(self._untold):
            self._tell(label, deleted=self._untold.pop(label))
        if self._open or self._own:
            self._store.renew(self._owner, ttl_s=_LEASE_S)

    def sweep(self) -> int:
        """Delete what was left at the vendors, also by crashed processes; returns how many."""
        now = self._clock()
        own = [label for label, session in tuple(self._own.items()) if session.due_at <= now]
        settling = (partial(self._settle_own, label) for label in own)
        return _sum_of_all([*settling, self._sweep_abandoned])

    def _sweep_abandoned(self) -> int:
        return _sum_of_all([partial(self._settle, row) for row in self._abandoned()])

    def _abandoned(self) -> Sequence[JournaledSession]:
        with self._calm.watched():
            due = self._store.due()
        if not due or not self._calm:
            return ()
        return self._store.lapsed(self._owner, limit=_ROWS, ttl_s=_SWEEP_S)

    def _settle(self, row: JournaledSession) -> bool:
        """Whether nothing is left of a session; else it has been put off."""
        if row.label in self._open or row.label in self._own:
            self._store.failed(row.label, retry_in_s=_LEASE_S)  # we were too slow to hold it
            return False
        account = self._pool.get(row.account) if row.account else None
        if row.account is None or (account is None and row.attempts >= _MOST_ATTEMPTS):
            self._report_leak(row.label, row.upstream, row.account, row.resource)
        elif account is None or not self._deleted(row, account):
            pause_s = _RETRY_S[min(row.attempts, len(_RETRY_S) - 1)]
            self._store.failed(row.label, retry_in_s=pause_s)
            return False
        self._store.closed(row.label)
        return True

    def _deleted(self, row: JournaledSession, account: Account) -> bool:
        """What is not there may still come: a vendor may be slow to do what nobody waits for."""
        try:
            found = self._sweep(account, row.label)
        except GatewayError as err:
            log.warning("session_sweep_failed", label=row.label, code=err.code, message=err.message)
            return False
        return found > 0 or row.attempts >= _LOOKS

    def _sweep(self, account: Account, label: str) -> int:
        upstream = self._upstream(account.upstream)
        return upstream.sweep_sessions(account, label) if isinstance(upstream, SessionReaper) else 0

    def _report_leak(
        self, label: str, upstream: str, account: str | None, resource: str | None = None
    ) -> None:
        self.leaked += 1
        log.error(
            "session_leaked",
            label=label,
            upstream=upstream,
            account=account or "the caller's own",
            session=resource,
        )

    def _settle_own(self, label: str) -> bool:
        """As `_settle`; a credential that the vendor refuses will delete nothing any more."""
        session = self._own.get(label)
        if session is None:
            return False
        upstream, tried = session.account.upstream, session.attempts
        session.attempts += 1
        session.due_at = self._clock() + _RETRY_S[min(tried, len(_RETRY_S) - 1)]
        try:
            found = self._sweep(session.account, label)
        except GatewayError as err:
            log.warning("session_sweep_failed", label=label, code=err.code, message=err.message)
            if not isinstance(err, _REFUSED) and session.attempts < _OWN_ATTEMPTS:
                return False
            self._report_leak(label, upstream, None)
        else:
            if not found and tried < _LOOKS:
                return False
        self._own.pop(label, None)
        self._tell(label, deleted=True)
        return True

    def reconcile(self) -> int:
        """Delete sessions of this installation that no row knows, at a few accounts in turn.

        They come from rows lost with their database, or from a creation that the vendor
        finished long after it was given up. Returns how many were deleted.
        """
        deleted = 0
        for account in self._next_accounts():
            try:
                deleted += self._delete_strays(account)
            except UpstreamError as err:
                log.warning("strays_not_sought", account=account.name, code=err.code)
        return deleted

    def _delete_strays(self, account: Account) -> int:
        upstream = self._upstream(account.upstream)
        if not isinstance(upstream, SessionReaper):
            return 0
        # In this order: what is at the vendor by now was written down before.
        found = set(upstream.session_labels(account, self.mark()))
        found -= self._store.known(found)
        now, deleted = self._clock(), 0
        for label in found:
            if now - self._strays.setdefault(label, now) >= self._stray_s:
                deleted += upstream.sweep_sessions(account, label)
                log.warning("stray_session_deleted", label=label, account=account.name)
        self._strays = {
            label: seen_at
            for label, seen_at in self._strays.items()
            if now - seen_at < _FORGOTTEN_S
        }
        return deleted

    def _next_accounts(self) -> Iterable[Account]:
        if not self._round:
            self._round = [view.name for view in self._pool.snapshot()]
            shuffle(self._round)
        names, self._round = self._round[:_ACCOUNTS_A_ROUND], self._round[_ACCOUNTS_A_ROUND:]
        return filter(None, map(self._pool.get, names))

    def stop(self) -> None:
        """The last chance of what only this process can delete."""
        _sum_of_all([partial(self._settle_own, label) for label in tuple(self._own)])


def _sum_of_all(work: Sequence[Callable[[], int]]) -> int:
    """Do it side by side, to the end whatever fails; then raise what did."""
    return sum(concurrent_map(lambda step: step(), work, at_once=_SIDE_BY_SIDE, run_all=True))
