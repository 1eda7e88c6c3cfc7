"""Sessions at vendors that this process has open, none of which may outlive its request.

A session's label names the installation and the process. It is deleted in the block's
`finally`; a deletion that fails is tried again by this process, and the sessions of a process
that died are deleted by the reaper of another. What a caller's own credential opened can only
be deleted with it, so such a session stays at the vendor when its process is killed.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from gateway.domain.accounts import Account
from gateway.domain.errors import (
    AccountRejected,
    Forbidden,
    GatewayError,
    InvalidApiKey,
    StorageUnavailable,
)
from gateway.runtime.concurrent import concurrent_map
from gateway.runtime.interruption import shielded
from gateway.runtime.logs import log
from gateway.services.sessions.reaper import label_prefix
from gateway.storage.db.processes import Processes
from gateway.upstreams.base import SessionReaper, Upstream

_RETRY_S = (2.0, 5.0, 15.0, 30.0, 60.0, 300.0, 900.0)
_MAX_SEARCHES = 5  # two minutes: then a session that was never seen was never created
_MAX_ATTEMPTS = 12  # an hour and a half
_REFUSED = (InvalidApiKey, Forbidden, AccountRejected)
_AT_ONCE = 8


@dataclass(slots=True)
class _Undeleted:
    """A session whose deletion failed, or whose creation was interrupted."""

    account: Account
    attempts: int = 0
    due_at: float = 0.0


class Sessions:
    """The sessions of one process, as upstreams use them (`upstreams.base.SessionJournal`)."""

    def __init__(
        self,
        processes: Processes,
        upstream: Callable[[str], Upstream],
        *,
        installation: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._processes = processes
        self._upstream = upstream
        self._prefix = label_prefix(installation)
        self._clock = clock
        self._undeleted: dict[str, _Undeleted] = {}
        self.open = 0
        self.leaked = 0  # given up: their credential is refused, or the vendor is away for long

    @property
    def undeleted(self) -> int:
        """Sessions whose deletion failed and is tried again."""
        return len(self._undeleted)

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

        An interruption while the vendor creates the session is not waited out: the session
        is looked for by its label afterwards.
        """
        with suppress(StorageUnavailable):  # or the reaper takes the session for an orphan
            self._processes.register()
        label = self._label(keep=keep)
        name: str | None = None
        created = True  # or may have been
        self.open += 1
        try:
            try:
                name = create(label)
            except GatewayError as err:
                created = err.sent
                raise
            yield name
        finally:
            self.open -= 1
            if created and not (keep and name is not None):
                with shielded():
                    self._delete(label, name, account, delete)

    def _label(self, *, keep: bool) -> str:
        """A session that is kept on purpose has a label that the reaper does not look for."""
        unique = secrets.token_hex(8)
        return f"kept-{unique}" if keep else f"{self._prefix}{self._processes.id}-{unique}"

    def _delete(
        self, label: str, name: str | None, account: Account, delete: Callable[[str], None]
    ) -> None:
        if name is not None:
            try:
                delete(name)
                return
            except GatewayError as err:
                log.warning("session_not_deleted", label=label, code=err.code, message=err.message)
        self._undeleted[label] = _Undeleted(account)

    def retry(self) -> int:
        """Try again to delete what could not be deleted; returns how many are gone now."""
        now = self._clock()
        due = [label for label, session in self._undeleted.items() if session.due_at <= now]
        return sum(concurrent_map(self._delete_by_label, due, at_once=_AT_ONCE, run_all=True))

    def stop(self) -> None:
        """Try once more, before the process ends."""
        labels = list(self._undeleted)
        concurrent_map(self._delete_by_label, labels, at_once=_AT_ONCE, run_all=True)

    def _delete_by_label(self, label: str) -> bool:
        session = self._undeleted.get(label)
        if session is None:
            return False
        session.attempts += 1
        session.due_at = self._clock() + _RETRY_S[min(session.attempts, len(_RETRY_S)) - 1]
        upstream = self._upstream(session.account.upstream)
        assert isinstance(upstream, SessionReaper)
        try:
            deleted = upstream.sweep_sessions(session.account, label)
        except GatewayError as err:
            log.warning("session_not_deleted", label=label, code=err.code, message=err.message)
            if not isinstance(err, _REFUSED) and session.attempts < _MAX_ATTEMPTS:
                return False
            self.leaked += 1
            account = "the caller's own" if session.account.own else session.account.name
            log.error("session_leaked", label=label, upstream=upstream.name, account=account)
        else:
            if not deleted and session.attempts <= _MAX_SEARCHES:
                return False
        self._undeleted.pop(label, None)
        return True
