"""Places in flight at accounts that have only so many: held while in use, renewed in bulk."""

from __future__ import annotations

import os
import socket

import structlog

from gateway.domain.connection import shielded
from gateway.domain.errors import StorageUnavailable
from gateway.services.pool_choice import Member
from gateway.stores.leases import Lease as Place
from gateway.stores.leases import LeaseStore

log = structlog.get_logger()

RENEW_S = 12.0
_TTL_S = 60.0  # what a process that died keeps its places for; several renewals may fail


class Places:
    """Exact over all processes and machines; without the database there is no place to be had."""

    def __init__(self, store: LeaseStore) -> None:
        self._store = store
        self._held: set[Place] = set()

    def take(self, member: Member, cap: int) -> Place | None:
        """None when others have them all. Raises StorageUnavailable."""
        place: Place | None = None
        try:
            with shielded():
                holder = f"{socket.gethostname()}:{os.getpid()}"
                place = self._store.acquire(
                    member.name, holder=holder, max_in_flight=cap, ttl_s=_TTL_S
                )
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
        """Hold on to what is in use; to be called every `RENEW_S`."""
        held = set(self._held)
        if held:
            lost = (held - self._store.renew(held, ttl_s=_TTL_S)) & self._held
            if lost:
                log.warning("places_lapsed", accounts=sorted({place.account for place in lost}))

    def _release(self, place: Place) -> None:
        try:
            self._store.release(place)
        except StorageUnavailable:
            log.warning("place_not_released", account=place.account)  # it lapses by itself
