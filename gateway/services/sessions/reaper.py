"""Reaper of orphaned sessions: deletes what processes that died left open at the vendors.

Sessions are found by their label, `gw-INSTALLATION-PROCESS-RANDOM`, with the accounts of the
pool. One living process does the work, and only lists sessions where there is a reason to: in
the first minutes after a process has died, and every ten minutes for sessions that outlived
the longest time-out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from gateway.domain.accounts import Account
from gateway.domain.errors import GatewayError, StorageUnavailable
from gateway.runtime.concurrent import concurrent_map
from gateway.runtime.logs import log
from gateway.storage.db.processes import Processes
from gateway.upstreams.base import SessionReaper, Upstream

REAP_EVERY_S = 15.0
_AFTER_DEATH_S = 120.0  # a vendor may be slow to create what nobody waits for any more
_LIST_EVERY_S = 600.0
_LONGEST_S = 3600.0  # no request takes so long
_AT_ONCE = 8


def label_prefix(installation: str) -> str:
    """Beginning of the labels of this installation; others may share its accounts."""
    return f"gw-{installation}-"


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A session of this installation at a vendor."""

    label: str
    upstream: str
    account: str
    process: str
    process_alive: bool


class Reaper:
    def __init__(
        self,
        processes: Processes,
        accounts: Callable[[], Iterable[Account]],
        upstream: Callable[[str], Upstream],
        *,
        installation: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._processes = processes
        self._accounts = accounts
        self._upstream = upstream
        self._prefix = label_prefix(installation)
        self._clock = clock
        self._alive: frozenset[str] = frozenset()
        self._until = clock() + _AFTER_DEATH_S  # all may have died before this process started
        self._next_at = 0.0
        self._first_seen: dict[str, float] = {}

    def run(self) -> int:
        """Delete orphaned sessions if there may be any; returns how many were deleted.

        Call it every `REAP_EVERY_S`. Raises StorageUnavailable.
        """
        now, alive = self._clock(), self._processes.alive()
        if self._alive - alive:
            self._until = now + _AFTER_DEATH_S
        self._alive = alive
        due = now < self._until or now >= self._next_at
        if not due or min(alive) != self._processes.id:
            return 0
        self._next_at = now + _LIST_EVERY_S
        accounts = list(self._accounts())
        deleted = sum(concurrent_map(self._reap, accounts, at_once=_AT_ONCE, run_all=True))
        self._forget()
        return deleted

    def _reap(self, account: Account) -> int:
        upstream = self._upstream(account.upstream)
        if not isinstance(upstream, SessionReaper):
            return 0
        try:
            # In this order: what is listed was opened by processes that were registered before.
            labels = set(upstream.session_labels(account, self._prefix))
            orphaned = self._orphaned(labels)
            delete = partial(upstream.sweep_sessions, account)
            deleted = sum(concurrent_map(delete, orphaned, at_once=_AT_ONCE))
        except StorageUnavailable:
            raise
        except GatewayError as err:
            log.warning("orphaned_sessions_left", account=account.name, code=err.code)
            return 0
        if deleted:
            log.info("orphaned_sessions_deleted", account=account.name, count=deleted)
        return deleted

    def sessions(self) -> list[OpenSession]:
        """Sessions that are open at the vendors now, which are asked. Raises GatewayError."""
        found = []
        for account in self._accounts():
            upstream = self._upstream(account.upstream)
            if isinstance(upstream, SessionReaper):
                labels = set(upstream.session_labels(account, self._prefix))
                alive = self._processes.alive()
                for label in sorted(labels):
                    process = self._process(label)
                    origin = (account.upstream, account.name, process, process in alive)
                    found.append(OpenSession(label, *origin))
        return found

    def _process(self, label: str) -> str:
        """The process that a label names; "" when it names none."""
        process, _, unique = label.removeprefix(self._prefix).partition("-")
        return process if unique else ""

    def _orphaned(self, labels: set[str]) -> list[str]:
        if not labels:
            return []
        now, alive = self._clock(), self._processes.alive()
        orphaned = []
        for label in labels:
            process = self._process(label)
            age_s = now - self._first_seen.setdefault(label, now)
            if (process and process not in alive) or age_s > _LONGEST_S:
                orphaned.append(label)
        return orphaned

    def _forget(self) -> None:
        forget_before = self._clock() - 2 * _LONGEST_S
        for label in [one for one, seen in self._first_seen.items() if seen < forget_before]:
            del self._first_seen[label]
