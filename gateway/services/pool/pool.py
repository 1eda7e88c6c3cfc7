"""Pool of the accounts of all upstreams: leases for one call at a time."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from math import ceil
from threading import Lock

from gateway.domain.accounts import Account
from gateway.domain.errors import (
    Fault,
    GatewayError,
    NoAccountAvailable,
    StorageUnavailable,
)
from gateway.services.pool.health import Uniform
from gateway.services.pool.lease import Lease
from gateway.services.pool.limits import Quota
from gateway.services.pool.monitor import HealthMonitor
from gateway.services.pool.pooled_account import LeaseRequest, PooledAccount
from gateway.services.pool.queue import Queue, Waiter
from gateway.services.pool.refusal import refusal
from gateway.services.pool.registry import AccountRegistry
from gateway.services.pool.selection import Availability, Random
from gateway.services.pool.slots import Slots
from gateway.services.pool.sync import HealthSync
from gateway.services.pool.views import AccountView, view_of
from gateway.storage.db.processes import Processes
from gateway.storage.records.account_states import AccountStateStore
from gateway.storage.records.slots import SlotStore

WAIT_S = 2.5  # how long a call may wait for an account
_MAX_WAITING = 1000
_MAX_WAITING_PER_CALLER = 200
_MAX_REJECTED = 16  # accounts that turn out to be full or limited, before a call waits
_BUSY_S = 1.0
_AWAY_S = 1.0  # before an account is tried again whose slot the database did not give
_MIN_WAIT_S = 0.005
_WAIT_PER_WAITER_S = 0.0005  # of more who wait, each looks the less often by itself


class Pool:
    """Lends accounts by weight and load; those that fail are left out until they recover."""

    def __init__(
        self,
        registry: AccountRegistry,
        states: AccountStateStore,
        slots: SlotStore,
        processes: Processes,
        quota: Quota,
        *,
        clock: Callable[[], float] = time.monotonic,
        uniform: Uniform = random.uniform,
        random: Random = random.random,
        wait_s: float = WAIT_S,
        max_waiting: int = _MAX_WAITING,
        max_waiting_per_caller: int = _MAX_WAITING_PER_CALLER,
    ) -> None:
        self._registry = registry
        self._quota = quota
        self._clock = clock
        self._random = random
        self._wait_s = wait_s
        self._lock = Lock()
        self._sync = HealthSync(registry, states, self._lock, clock=clock)
        self._health = HealthMonitor(registry, self._sync, self._lock, clock=clock, uniform=uniform)
        self._slots = Slots(slots, processes, clock=clock, uniform=uniform)
        self._queue: Queue[Lease] = Queue(
            max_waiting=max_waiting, max_per_caller=max_waiting_per_caller
        )

    # -- accounts ----------------------------------------------------------------------

    def serves(self, upstream: str, *models: str, skip: Collection[str] = ()) -> bool:
        """True if an enabled account, none of `skip`, may serve a model of these names."""
        accounts = self._registry.candidates(upstream, models).accounts
        return any(pooled.name not in skip for pooled in accounts) if skip else bool(accounts)

    @property
    def origins(self) -> Collection[str]:
        """The "host:port" of every base URL that an account has of its own."""
        return self._registry.origins

    @property
    def empty(self) -> bool:
        """True if there is no account at all, not even one that cannot be decrypted."""
        return not len(self._registry) and not self._registry.locked

    @property
    def waiting(self) -> int:
        """Calls of this process that wait for an account."""
        return len(self._queue)

    def usable(self) -> bool:
        """True if any account can be lent now, or as soon as a call ends."""
        now = self._clock()
        return any(
            pooled.status == "enabled" and pooled.blocked_until <= now for pooled in self._registry
        )

    def get(self, name: str) -> Account | None:
        """The account of this name, whatever its state: its jobs are still its own."""
        pooled = self._registry.get(name)
        return None if pooled is None else pooled.account

    def is_locked(self, name: str) -> bool:
        """True for an account that no secret key decrypts."""
        return name in self._registry.locked

    def snapshot(self) -> list[AccountView]:
        now = self._clock()
        configured = self._registry.is_configured
        accounts = sorted(self._registry, key=lambda pooled: pooled.name)
        return [view_of(found, now, configured=configured(found.name)) for found in accounts]

    # -- leases ------------------------------------------------------------------------

    def deadline(self) -> float:
        """Time until which a call that begins now may wait for accounts, by the pool's clock."""
        return self._clock() + self._wait_s

    def peek(self, request: LeaseRequest) -> Account:
        """An account that could be lent. Raises as `lease` does."""
        pooled = self._choose(request, self._clock())
        if pooled is None:
            raise self._refusal(request)
        return pooled.account

    def lease(self, request: LeaseRequest) -> Lease:
        """Lend an account, to be used as a context manager.

        Waits in a FIFO queue while one may become free until `request.give_up_at`. Raises
        NoAccountAvailable with the seconds until the first is back; AccountRejected when the
        vendor refuses all of them; StorageUnavailable when only accounts with slots are left
        and the database is away.
        """
        trouble: StorageUnavailable | None = None
        for _ in range(_MAX_REJECTED):
            lease = self._reserve_now(request)
            if lease is None:
                break
            try:
                if self._admit(lease, request):
                    return lease
            except StorageUnavailable as err:
                trouble = err
        if trouble is not None:
            raise trouble
        return self._wait(request)

    def _wait(self, request: LeaseRequest) -> Lease:
        waiter: Waiter[Lease] = Waiter(request)
        with self._lock:
            self._queue.join(waiter)
        try:
            while True:
                lease = self._next(waiter)
                if self._admit(lease, request):
                    return lease
                with self._lock:
                    self._queue.rejoin(waiter)
        finally:
            with self._lock:
                self._queue.leave(waiter)
            if waiter.reserved is not None:
                self.release(waiter.reserved)

    def _next(self, waiter: Waiter[Lease]) -> Lease:
        """Wait for the account that the queue reserves next. Raises what `_refusal` returns."""
        request = waiter.request
        while True:
            with self._lock:
                self._queue.offer(self._reserve)
                lease, waiter.reserved = waiter.reserved, None
                if lease is not None:
                    return lease
                found = self._availability(request)
            now = self._clock()
            left_s = request.give_up_at - now
            if left_s <= 0 or not (found.busy or found.soonest_at < request.give_up_at):
                raise self._refusal(request)
            min_wait_s = max(_MIN_WAIT_S, len(self._queue) * _WAIT_PER_WAITER_S)
            waiter.signal.wait(min(left_s, max(min_wait_s, found.soonest_at - now)))
            waiter.signal.clear()

    def _reserve_now(self, request: LeaseRequest) -> Lease | None:
        """Reserve an account that nobody who waits can use."""
        with self._lock:
            if self._queue.waiters:
                self._queue.offer(self._reserve)
            return self._reserve(request)

    def _choose(self, request: LeaseRequest, now: float) -> PooledAccount | None:
        registry, upstream = self._registry, request.upstream
        load = (registry.in_flight[upstream] + 1) / (registry.weights.get(upstream) or 1)
        candidates = registry.candidates(upstream, request.models)
        return candidates.choose(request, now, self._random, registry.changes, load)

    def _reserve(self, request: LeaseRequest) -> Lease | None:
        now = self._clock()
        pooled = self._choose(request, now)
        if pooled is None:
            return None
        pooled.in_flight += 1
        self._registry.in_flight[request.upstream] += 1
        probe = pooled.health.ejections > 0
        if probe or pooled.account.max_in_flight is not None:
            pooled.probing = probe
            self._registry.changes += 1
        return Lease(self, pooled, request.model, now, probe=probe)

    def _admit(self, lease: Lease, request: LeaseRequest) -> bool:
        """Take the slot and count the call; where there is no room, give the account back."""
        pooled, admitted = lease.pooled, False
        if pooled.account.max_in_flight is None and not pooled.account.limits:
            return True
        try:
            admitted = (
                self._take_slot(lease)
                # Another call may have found something out since the account was reserved.
                and (lease.probe or pooled.blocked_until <= self._clock())
                and not self._limited(pooled, request)
            )
        finally:
            if not admitted:
                self.release(lease)
        return admitted

    def _take_slot(self, lease: Lease) -> bool:
        pooled = lease.pooled
        cap = pooled.account.max_in_flight
        if cap is None:
            return True
        try:
            full_s = self._slots.acquire(pooled.name, cap, full_until=pooled.full_until)
        except StorageUnavailable:
            self._block(pooled, _AWAY_S)
            raise
        if full_s is not None:
            self._block(pooled, full_s)
        lease.slot = full_s is None
        return lease.slot

    def _limited(self, pooled: PooledAccount, request: LeaseRequest) -> bool:
        limit = pooled.account.limits.get(request.kind)
        if not limit:
            return False
        exceeded = self._quota.take(pooled.name, request.kind, limit, request.amount)
        if exceeded is None:
            return False
        if exceeded.full or request.amount == 1:
            pooled.limited[request.kind] = self._clock() + exceeded.wait_s
            self._registry.changes += 1
        else:
            request.lacks_room[pooled.name] = exceeded.wait_s  # others may want fewer
        return True

    def _block(self, pooled: PooledAccount, full_s: float) -> None:
        pooled.full_until = self._clock() + full_s
        self._registry.changes += 1

    def release(self, lease: Lease) -> None:
        pooled = lease.pooled
        try:
            if lease.slot:
                self._slots.release(pooled.name)
                pooled.full_until = 0.0
        finally:
            with self._lock:
                if lease.probe or pooled.account.max_in_flight is not None:
                    self._registry.changes += 1
                if lease.probe:
                    pooled.probing = False
                pooled.in_flight -= 1
                self._registry.in_flight[pooled.account.upstream] -= 1
                if self._queue.waiters:
                    self._queue.offer(self._reserve)

    def recovered(self, lease: Lease) -> None:
        self._health.recovered(lease)

    def failed(self, lease: Lease, err: GatewayError) -> None:
        self._health.failed(lease, err)

    def _availability(self, request: LeaseRequest) -> Availability:
        candidates = self._registry.candidates(request.upstream, request.models)
        return candidates.availability(request, self._registry.changes)

    def _refusal(self, request: LeaseRequest) -> GatewayError:
        accounts = self._registry.candidates(request.upstream, request.models).accounts
        return refusal(accounts, self._availability(request), request, self._clock())

    # -- queries about existing jobs ---------------------------------------------------

    @contextmanager
    def query(self, account: Account) -> Iterator[None]:
        """For a query about a job that the account has.

        A refused credential counts as in any call; rate limits of queries and failures of the
        vendor say nothing of new work. Raises NoAccountAvailable while the credential is refused.
        """
        pooled = self._registry.get(account.name)
        if account.own or pooled is None:
            yield
            return
        lease = self._query_lease(pooled)
        try:
            yield
            if pooled.health.rejected:
                self._health.recovered(lease, query=True)
        except GatewayError as err:
            if err.fault is Fault.ACCOUNT:
                self._health.failed(lease, err)
            raise
        finally:
            self.release(lease)

    def _query_lease(self, pooled: PooledAccount) -> Lease:
        now = self._clock()
        with self._lock:
            wait_s = pooled.health.queries_blocked_until - now
            if wait_s > 0:
                raise NoAccountAvailable(
                    "The account that owns this job is cooling down; "
                    f"retry in {max(1, ceil(wait_s))} s.",
                    retry_after=wait_s,
                )
            if pooled.health.rejected and pooled.probing:
                raise NoAccountAvailable(
                    "The credential of the account that owns this job is being probed; "
                    "retry in 1 s.",
                    retry_after=_BUSY_S,
                )
            pooled.in_flight += 1
            self._registry.in_flight[pooled.account.upstream] += 1
            probe = pooled.health.rejected
            pooled.probing = pooled.probing or probe
        return Lease(self, pooled, "", now, probe=probe)

    # -- periodic work -----------------------------------------------------------------

    def refresh(self) -> None:
        """Exchange changes with the other processes; to be called every `sync.EVERY_S`."""
        if self._registry.read():
            self._install()
        with suppress(StorageUnavailable):  # which the database has logged
            self._sync.run()
            self._slots.flush()
        with self._lock:
            self._registry.changes += 1
            self._queue.offer(self._reserve)
            self._queue.wake()

    def reload(self) -> None:
        """Read the accounts anew, after a change of them."""
        if self._registry.read(fresh_s=0.0):
            self._install()

    def _install(self) -> None:
        with self._lock:
            self._registry.install()
        self._sync.read_all()

    def reset(self, name: str) -> bool:
        """Forget what is held against an account, in all processes; False if there is none."""
        pooled = self._registry.get(name)
        if pooled is not None:
            self._sync.reset(pooled)
        return pooled is not None
