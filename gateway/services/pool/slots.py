"""Places in flight at accounts that have only so many: held while in use, renewed in bulk."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable

from gateway.domain.errors import StorageUnavailable
from gateway.runtime.interruption import shielded
from gateway.runtime.logs import log
from gateway.services.pool.selection import Member
from gateway.storage.db.leases import Lease as Place
from gateway.storage.db.leases import LeaseStore

RENEW_S = 12.0
_AWAY_S = 2.0  # how long requests are spared a database that has failed
_TTL_S = 60.0  # what a process that died keeps its places for; several renewals may fail


class Places:
    """Exact over all processes and machines; without the database there is no place to be had."""

    def __init__(self, store: LeaseStore, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._clock = clock
        self._held: set[Place] = set()
        self._unreleased: set[Place] = set()
        self._away_until = 0.0

    def take(self, member: Member, cap: int) -> Place | None:
        """None when others have them all. Raises StorageUnavailable."""
        if self._clock() < self._away_until:
            raise StorageUnavailable("The gateway's database is not available.", retry_after=2.0)
        place: Place | None = None
        try:
            with shielded():
                place = self._acquire(member.name, cap)
        except BaseException:
            if place is not None:  # whoever asked left while it was taken
                self._release(place)
            raise
        if place is not None:
            self._held.add(place)
        return place

    def give_back(self, place: Place) -> None:
        self._held.discard(place)
        with shielded():
            self._release(place)

    def renew(self) -> None:
        """Hold on to what is in use; to be called every `RENEW_S`. Raises StorageUnavailable."""
        for place in list(self._unreleased):
            self._store.release(place)
            self._unreleased.discard(place)
        held = set(self._held)
        if held:
            lost = (held - self._store.renew(held, ttl_s=_TTL_S)) & self._held
            if lost:
                log.warning("places_lapsed", accounts=sorted({place.account for place in lost}))

    def _acquire(self, name: str, cap: int) -> Place | None:
        holder = f"{socket.gethostname()}:{os.getpid()}"
        try:
            return self._store.acquire(name, holder=holder, max_in_flight=cap, ttl_s=_TTL_S)
        except StorageUnavailable:
            self._away_until = self._clock() + _AWAY_S
            raise

    def _release(self, place: Place) -> None:
        if self._clock() >= self._away_until:
            try:
                self._store.release(place)
                return
            except StorageUnavailable:
                self._away_until = self._clock() + _AWAY_S
        self._unreleased.add(place)  # until it is released or lapses
