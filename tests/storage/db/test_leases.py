"""Never more in flight at an account than it allows."""

from __future__ import annotations

import pytest

from gateway.storage.db.leases import Lease, LeaseStore


@pytest.fixture
def leases(database) -> LeaseStore:
    return LeaseStore(database)


def take(leases: LeaseStore, places: int, account: str = "a", ttl_s: float = 60) -> Lease | None:
    return leases.acquire(account, holder="me", max_in_flight=places, ttl_s=ttl_s)


def test_an_account_lends_its_places_and_no_more(leases):
    held = [take(leases, 3) for _ in range(3)]
    assert len({lease.slot for lease in held}) == 3
    assert take(leases, 3) is None
    assert take(leases, 3, account="b")
    assert leases.busy(["a", "b", "c"]) == {"a": 3, "b": 1, "c": 0}
    assert leases.release(held[1])
    assert take(leases, 3).slot == held[1].slot


def test_more_places_take_effect_at_once_and_fewer_as_they_are_given_back(leases):
    first = take(leases, 1)
    second, third = take(leases, 3), take(leases, 3)
    assert second
    assert third
    assert take(leases, 1) is None
    assert leases.release(first)
    assert take(leases, 1)


def test_a_lapsed_place_is_free_and_its_late_holder_gives_nothing_back(leases):
    late = take(leases, 1, ttl_s=-1)
    assert leases.busy(["a"]) == {"a": 0}
    assert take(leases, 1)
    assert not leases.release(late)
    assert leases.renew([late]) == set()
    assert leases.busy(["a"]) == {"a": 1}


def test_leases_are_renewed_in_bulk_and_the_lost_ones_told(leases):
    lost = take(leases, 1, ttl_s=-1)
    take(leases, 1)
    lapsed = take(leases, 1, account="b", ttl_s=-1)
    many = [take(leases, 700, account="c") for _ in range(700)]
    assert leases.renew([lost, lapsed, *many]) == {lapsed, *many}
    assert take(leases, 1, account="b") is None
    assert leases.renew([]) == set()
