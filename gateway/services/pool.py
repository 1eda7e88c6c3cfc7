"""The accounts of all upstreams, lent to one request at a time."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock

from gateway.domain.accounts import Account, Kind
from gateway.domain.errors import Fault, GatewayError, NoAccountAvailable

_COOLDOWN_S = {Fault.ACCOUNT: 300.0, Fault.MINUTE_QUOTA: 20.0, Fault.DAY_QUOTA: 3600.0}


class Pool:
    def __init__(
        self, accounts: Sequence[Account], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._accounts: dict[str, list[Account]] = defaultdict(list)
        for account in accounts:
            self._accounts[account.upstream].append(account)
        self._busy = {account.name: 0 for account in accounts}
        self._cool_until = {account.name: 0.0 for account in accounts}
        self._clock = clock
        self._lock = Lock()

    def serves(self, upstream: str, *models: str) -> bool:
        """Whether any account of the upstream may serve a model known by these names."""
        return any(_allows(account, models) for account in self._accounts[upstream])

    @property
    def empty(self) -> bool:
        return not self._busy

    def usable(self) -> bool:
        """Whether any account could be lent now."""
        now = self._clock()
        return any(until <= now for until in self._cool_until.values())

    def get(self, name: str) -> Account | None:
        for accounts in self._accounts.values():
            for account in accounts:
                if account.name == name:
                    return account
        return None

    @contextmanager
    def lease(
        self,
        upstream: str,
        *,
        models: Sequence[str],
        kind: Kind,
        caller: str,
        skip: Collection[str] = (),
    ) -> Iterator[Account]:
        """Lend an account; an error that is the account's own fault cools it down.

        Raises NoAccountAvailable with the seconds until the soonest one is back.
        """
        account = self._take(upstream, models, skip)
        try:
            yield account
        except GatewayError as err:
            if pause := _COOLDOWN_S.get(err.fault):
                with self._lock:
                    self._cool_until[account.name] = self._clock() + (err.retry_after or pause)
            raise
        finally:
            with self._lock:
                self._busy[account.name] -= 1

    def _take(self, upstream: str, models: Sequence[str], skip: Collection[str]) -> Account:
        with self._lock:
            now = self._clock()
            known = [
                account
                for account in self._accounts[upstream]
                if account.name not in skip and _allows(account, models)
            ]
            free = [account for account in known if self._cool_until[account.name] <= now]
            if not free:
                soonest = min((self._cool_until[account.name] for account in known), default=now)
                raise NoAccountAvailable(
                    "Every account for this model is resting; try again later.",
                    retry_after=max(1.0, soonest - now),
                )
            chosen = min(free, key=lambda account: self._busy[account.name] / account.weight)
            self._accounts[upstream].remove(chosen)
            self._accounts[upstream].append(chosen)
            self._busy[chosen.name] += 1
            return chosen


def _allows(account: Account, models: Sequence[str]) -> bool:
    return not account.models or any(model in account.models for model in models)
