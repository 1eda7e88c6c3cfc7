"""Vendor sessions, none of which may outlive its request.

A row is written before the vendor is asked to create a session and removed once the vendor
has confirmed that it is gone. Whatever a crash leaves behind is found by its lapsed lease.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event as Signal

import structlog

from gateway.domain.accounts import Account
from gateway.domain.errors import GatewayError
from gateway.services.pool import Pool
from gateway.stores.journal import SessionJournalStore
from gateway.upstreams.base import Upstream

log = structlog.get_logger()

LABEL_PREFIX = "gw-"
_RENEW_S = 10.0
_LEASE_S = 30.0
_RETRY_S = (2.0, 10.0, 60.0, 300.0)


class Sessions:
    def __init__(self, store: SessionJournalStore, pool: Pool) -> None:
        self._store = store
        self._pool = pool
        self._owner = uuid.uuid4().hex
        self._open: set[str] = set()
        self._stopping = Signal()

    @contextmanager
    def session(
        self,
        account: Account,
        *,
        create: Callable[[str], str],
        delete: Callable[[str], None],
        keep: bool = False,
    ) -> Iterator[str]:
        """See `upstreams.base.SessionJournal`. A caller's own credential is not written down:
        such a session is journaled without its account and deleted by this process."""
        label = f"{LABEL_PREFIX}{uuid.uuid4().hex}"
        self._store.add(
            label,
            upstream=account.upstream,
            account=None if account.own else account.name,
            owner_token=self._owner,
            ttl_s=_LEASE_S,
        )
        self._open.add(label)
        name: str | None = None
        try:
            name = create(label)
            self._store.named(label, name)
            yield name
        except GatewayError as err:
            if name is None and not err.sent:
                self._close(label)  # the vendor never heard of it
            raise
        finally:
            if keep and name is not None:
                self._close(label)
            elif name is not None:
                self._delete(label, name, delete)
            self._open.discard(label)

    def _delete(self, label: str, name: str, delete: Callable[[str], None]) -> None:
        try:
            delete(name)
        except GatewayError as err:
            log.warning("session_not_deleted", label=label, code=err.code, message=err.message)
            self._store.closing(label)
        else:
            self._close(label)

    def _close(self, label: str) -> None:
        self._store.closed(label)

    def renew(self) -> None:
        if self._open:
            self._store.renew(self._owner, ttl_s=_LEASE_S)

    def sweep(self, upstreams: Callable[[str], Upstream]) -> int:
        """Delete what crashed processes left at the vendors; returns how many rows are settled."""
        settled = 0
        for row in self._store.lapsed(self._owner):
            account = self._pool.get(row.account) if row.account else None
            try:
                if account is None:
                    log.error("session_leaked", label=row.label, upstream=row.upstream)
                else:
                    upstreams(row.upstream).sweep_sessions(account, row.label)
                self._close(row.label)
                settled += 1
            except GatewayError as err:
                pause = _RETRY_S[min(row.attempts, len(_RETRY_S) - 1)]
                self._store.failed(row.label, retry_in_s=pause)
                log.warning("session_sweep_failed", label=row.label, code=err.code)
        return settled
