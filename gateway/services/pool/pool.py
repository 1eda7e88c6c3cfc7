"""The accounts of all upstreams, lent to one call at a time."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from math import inf
from types import TracebackType

from gateway.domain.accounts import Account, Kind
from gateway.domain.errors import (
    Fault,
    GatewayError,
    ModelNotOpen,
    ModelSpent,
    NoAccountAvailable,
    StorageUnavailable,
)
from gateway.runtime.interruption import shielded
from gateway.runtime.logs import log
from gateway.services.pool.accounts import AccountBook
from gateway.services.pool.health import QUARANTINE_S, Failure, Health, Uniform
from gateway.services.pool.limits import Quota
from gateway.services.pool.queue import Grant, Wish
from gateway.services.pool.registry import Obstacle, Roster
from gateway.services.pool.reports import AccountView, left_s, view_of
from gateway.services.pool.selection import PROOF_S
from gateway.services.pool.slots import Places
from gateway.services.pool.sync import Sharing
from gateway.services.pool.waiting import Waiting
from gateway.storage.db.bell import Bell
from gateway.storage.db.leases import Lease as Place
from gateway.storage.db.leases import LeaseStore
from gateway.storage.records.account_states import AccountStateStore
from gateway.storage.records.accounts import AccountStore

_WAIT_S = 2.5  # how long a request may wait for an account
_MOST_WAITING = 1000
_MOST_REFUSALS = 16  # accounts that turn out to be taken, before a request goes to wait
_TAKEN_S = (0.02, 0.08)  # before a full account is asked again for a place
_HANDOVER_S = (0.005, 0.03)  # before this process takes back what others wait for too
_CONTENDED_S = 5.0
_OF_ACCOUNTS = frozenset({Fault.ACCOUNT, Fault.MINUTE_QUOTA, Fault.DAY_QUOTA})
_LACKED_S = 60.0  # before a model that its owner may have opened meanwhile is tried again
_AWAY_S = 1.0  # before asking a database that has failed for a place


class Lease:
    """An account for one call: `with pool.lease(…) as lease`. The end of the block gives it back.

    An error that ends the block is judged: by its fault the account cools, is
    quarantined, counts a failure of its vendor, or is left alone.
    """

    __slots__ = (
        "_pool",
        "_proven",
        "account",
        "member",
        "model",
        "place",
        "proof_at",
        "trial",
        "tries",
    )

    def __init__(self, pool: Pool, grant: Grant, model: str = "") -> None:
        self._pool = pool
        self.model = model  # as the vendor calls it
        self.member = grant.member
        self.account = grant.member.account
        self.trial = grant.trial
        self.tries = False  # nobody in another process has the account either
        # What was found out later outweighs how the call ends, unless it was made to find out.
        self.proof_at = inf if grant.trial and grant.member.health.on_trial else grant.at
        self.place: Place | None = None
        self._proven = False

    def answered(self) -> None:
        """The vendor does what was asked: whatever was held against the account is over."""
        if not self._proven:
            self._proven = True
            self._pool.answered(self)

    def __enter__(self) -> Lease:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        err: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if err is None:
                self.answered()
        finally:
            self._pool.settle(self, err if isinstance(err, GatewayError) else None)


class Pool:
    """Lends accounts by weight, keeps those that fail out of the way, and makes callers wait.

    The hot path asks neither store, unless the account has a cap or other processes have
    news of an account.
    """

    def __init__(
        self,
        accounts: Sequence[Account],
        *,
        stored: AccountStore,
        states: AccountStateStore,
        leases: LeaseStore,
        bell: Bell,
        quota: Quota,
        only_configured: bool = False,
        clock: Callable[[], float] = time.monotonic,
        uniform: Uniform = random.uniform,
        wait_s: float = _WAIT_S,
        most_waiting: int = _MOST_WAITING,
    ) -> None:
        """`bell` has the topics of `pool_accounts` and `pool_sharing`.

        `only_configured`: accounts that were stored by command are nobody's here.
        """
        self._clock = clock
        self._uniform = uniform
        self._wait_s = wait_s
        self._quota = quota
        self._roster = Roster(clock=clock, uniform=uniform, most_waiting=most_waiting)
        self._book = AccountBook(
            self._roster, accounts, stored, bell, only_configured=only_configured, clock=clock
        )
        self._sharing = Sharing(self._roster, states, bell, clock=clock)
        self._places = Places(leases, clock=clock)
        self._waiting = Waiting(self._roster, self._listen, clock=clock)

    # -- what there is -----------------------------------------------------------------

    def serves(self, upstream: str, *models: str, skip: Collection[str] = ()) -> bool:
        """Whether an enabled account, none of `skip`, may serve a model known by these names."""
        self._book.listen()
        return self._roster.serves(upstream, models, skip)

    @property
    def origins(self) -> Collection[str]:
        """The "host:port" of every base URL that an account has of its own."""
        return self._book.origins

    @property
    def empty(self) -> bool:
        """Whether there is no account at all, not even one that cannot be decrypted."""
        return self._roster.empty and not self._book.locked

    @property
    def waiting(self) -> int:
        """Requests of this process that wait for an account."""
        return self._roster.waiting

    def usable(self) -> bool:
        """Whether any account could be lent now, or as soon as a call ends."""
        self._listen()
        return self._roster.usable()

    def get(self, name: str) -> Account | None:
        """Any account that has not been removed: what it has begun is still its own."""
        self._book.listen()
        return self._roster.get(name)

    def is_locked(self, name: str) -> bool:
        """Whether it is an account that no secret key opens."""
        return name in self._book.locked

    def snapshot(self) -> list[AccountView]:
        now = self._clock()
        members = sorted(self._roster.members(), key=lambda member: member.name)
        configured = self._book.is_configured
        return [view_of(member, now, configured=configured(member.name)) for member in members]

    # -- lending -----------------------------------------------------------------------

    def deadline(self) -> float:
        """Until when a request that begins now may wait for accounts, by the pool's clock."""
        return self._clock() + self._wait_s

    def peek(self, upstream: str, *, models: Sequence[str], kind: Kind) -> Account:
        """The account that would be lent next. Raises as `lease` does."""
        self._listen()
        wish = Wish(upstream, tuple(models), kind, ())
        account = self._roster.peek(wish)
        if account is None:
            raise self._waiting.refusal(wish)
        return account

    def lease(
        self,
        upstream: str,
        *,
        models: Sequence[str],
        kind: Kind,
        caller: str,
        skip: Collection[str] = (),
        amount: int = 1,
        give_up_at: float,
    ) -> Lease:
        """Lend an account that may serve one of `models`, to be used as a context manager.

        `amount` counts against its limit for the kind.

        Waits in a line that is fair to callers when one may become free until `give_up_at`,
        which begins as `deadline()`. Raises NoAccountAvailable with the seconds until
        the soonest is back; AccountRejected when the vendors refuse all of them.
        """
        wish = Wish(upstream, tuple(models), kind, skip)
        if amount > 1:
            wish = wish.of_many(amount)
        trouble: StorageUnavailable | None = None
        for _ in range(_MOST_REFUSALS):
            self._listen()
            grant = self._roster.reserve(wish)
            if grant is None:
                break
            try:
                lease = self._secured(grant, wish)
            except StorageUnavailable as err:
                trouble = err
                continue
            if lease is not None:
                return lease
        if trouble is not None:
            raise trouble
        for grant in self._waiting.grants(wish, caller, give_up_at):
            lease = self._secured(grant, wish)
            if lease is not None:
                return lease
        raise AssertionError("the last grant is of use, or its lack raises")

    @contextmanager
    def follow_up(self, account: Account) -> Iterator[None]:
        """For a question about work that the account has in hand, whose refusal counts as any.

        An answer says nothing of its quota, a failure of the vendor nothing of new work.
        Raises NoAccountAvailable while the account is not to be asked anything.
        """
        self._listen()
        member = self._roster.find(account.name)
        if account.own or member is None:
            yield
            return
        grant = self._roster.visit(member)
        if grant is None:
            back_in_s = max(0.0, member.health.unasked_until - self._clock())
            raise NoAccountAvailable("The account of the work rests.", retry_after=back_in_s)
        lease, failure = Lease(self, grant), None
        if obstacle := self._trial_of(lease):
            self._return(lease, obstacle)
            raise NoAccountAvailable("The account of the work is tried out.")
        try:
            yield
            if lease.trial:
                self.answered(lease)
        except GatewayError as err:
            failure = err if err.fault in _OF_ACCOUNTS else None
            raise
        finally:
            self.settle(lease, failure)

    def answered(self, lease: Lease) -> None:
        was_on_trial = lease.member.health.on_trial
        change = self._roster.answered(lease.member, lease.proof_at)
        if lease.trial:
            lease.trial = lease.tries = False
            self._roster.end_trial(lease.member)
        if change is not None:
            if was_on_trial:
                log.info("account_well", account=lease.account.name)
            self._sharing.tell(lease.member, change)

    def settle(self, lease: Lease, failure: GatewayError | None) -> None:
        """Judge how the call ended, then give the account back."""
        member, change = lease.member, None
        if failure is not None:
            before = member.health
            judged = Failure(failure, lease.proof_at, self._clock(), lease.model)
            change = self._roster.failed(member, judged)
            if judged.denies_model:
                self._deny(lease, lacks=isinstance(failure, ModelNotOpen))
        try:
            if change is not None:
                self._log(member.name, before, member.health)
                self._sharing.tell(member, change)
            if isinstance(failure, ModelSpent) and lease.model:
                self._sharing.spend(member, lease.model, failure.retry_after)
        finally:
            handover = None
            if member.cap is not None and self._clock() - member.contended_at < _CONTENDED_S:
                handover = Obstacle(hold_s=self._uniform(*_HANDOVER_S))
            self._return(lease, handover, told=change is not None)

    def _deny(self, lease: Lease, *, lacks: bool) -> None:
        """Each process finds it out: callers name models, and rows of them would pile up."""
        log.warning("model_denied", account=lease.account.name, model=lease.model[:256])
        until = self._clock() + (_LACKED_S if lacks else QUARANTINE_S)
        self._roster.deny(lease.member, lease.model, until, lacks=lacks)

    def _return(self, lease: Lease, obstacle: Obstacle | None, *, told: bool = False) -> None:
        try:
            if lease.place is not None:
                self._places.give_back(lease.place)
        finally:
            self._roster.give_back(lease.member, trial=lease.trial, obstacle=obstacle)
        if lease.tries and not told:
            self._sharing.trial_ended(lease.member)

    def _secured(self, grant: Grant, wish: Wish) -> Lease | None:
        """A lease on an account that was reserved, unless something stands against it after all."""
        lease = Lease(self, grant, wish.models[-1])
        try:
            obstacle = self._obstacle(lease, grant, wish)
        except BaseException as err:
            hold_s = _AWAY_S if isinstance(err, StorageUnavailable) else 0.0
            self._return(lease, Obstacle(hold_s=hold_s))
            raise
        if obstacle is None:
            return lease
        self._return(lease, obstacle)
        return None

    def _obstacle(self, lease: Lease, grant: Grant, wish: Wish) -> Obstacle | None:
        """What can be given back is asked for first: limits keep what they count."""
        member = grant.member
        if grant.trial:
            if obstacle := self._trial_of(lease):
                return obstacle
        elif not member.health.proven:
            self._sharing.look()  # whoever tries it out has taken long; what of other machines?
        if member.cap is not None:
            lease.place = self._places.take(member, member.cap)
            if lease.place is None:
                return Obstacle(hold_s=self._uniform(*_TAKEN_S), contended=True)
        # Something may have been found out since: in the line, or while the database was asked.
        self._sharing.listen()
        if self._roster.put_aside(grant, lease.model):
            return Obstacle()
        limit = member.account.limits.get(wish.kind)
        return self._limited(member.name, wish, limit) if limit else None

    def _limited(self, name: str, wish: Wish, limit: str) -> Obstacle | None:
        shortage = self._quota.take(name, wish.kind, limit, wish.amount)
        if shortage is None:
            return None
        if shortage.full or wish.short is None:
            return Obstacle(limited=(wish.kind, shortage.wait_s))
        wish.short[name] = shortage.wait_s  # others may want fewer
        return Obstacle()

    def _trial_of(self, lease: Lease) -> Obstacle | None:
        if lease.trial:
            with shielded():
                lease.tries = self._sharing.may_try(lease.member)
            if not lease.tries:
                return Obstacle(tried_s=PROOF_S)
        return None

    def _listen(self) -> None:
        self._book.listen()
        self._sharing.listen()

    # -- housekeeping ------------------------------------------------------------------

    def refresh(self) -> None:
        """Take over what changed on other machines; to be called every second."""
        self._book.poll()
        self._sharing.poll()
        self._roster.tidy()

    def renew(self) -> None:
        """Hold on to the places in use; to be called every `pool_places.RENEW_S`."""
        self._places.renew()

    def reset(self, name: str) -> bool:
        """Forget what is held against an account, in all processes; False when there is none."""
        self._listen()
        member = self._roster.find(name)
        if member is not None:
            self._sharing.reset(member)
        return member is not None

    def _log(self, name: str, before: Health, after: Health) -> None:
        words = {"account": name, "back_in_s": left_s(after, self._clock())}
        if after.quarantined and (after.failures > before.failures or not before.quarantined):
            log.error("account_quarantined", **words)
        elif after.ejected and after.circuit_failures > before.circuit_failures:
            log.warning("circuit_opened", **words)
        elif after.cool_until > before.cool_until:
            log.warning("account_cools", reason=after.reason, **words)
