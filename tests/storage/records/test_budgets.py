"""Budgets on both databases: all shares or none, and never more than there is."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway.domain.errors import BudgetExceeded
from gateway.storage.records.budgets import BudgetStore, Share

DAY, MONTH = "2026-12-01", "2026-12"


@pytest.fixture
def store(database):
    return BudgetStore(database, clock=lambda: 1_764_600_000.0)


def used(store, budget="key:a", period=DAY):
    found = store.spent([(budget, period)]).get((budget, period))
    return (found.spent, found.reserved) if found else (0, 0)


def test_a_reservation_counts_until_it_is_settled_once(store):
    assert store.reserve("1", 30, [Share("key:a", DAY, 100)]) == 70
    assert used(store) == (0, 30)
    assert store.settle("1", 20)
    assert not store.settle("1", 20)
    assert used(store) == (20, 0)


def test_a_budget_that_is_full_keeps_the_others_untouched(store):
    store.reserve("1", 80, [Share("team:b", MONTH, 100)])
    with pytest.raises(BudgetExceeded) as refused:
        store.reserve("2", 30, [Share("key:a", DAY, 100), Share("team:b", MONTH, 100)])
    assert (refused.value.budget, refused.value.period) == ("team:b", MONTH)
    assert used(store) == (0, 0)
    assert not store.settle("2", 1)


def test_what_is_reserved_at_once_is_never_more_than_there_is(store):
    def one(n):
        try:
            store.reserve(str(n), 10, [Share("key:a", DAY, 100), Share("all", MONTH, 70)])
        except BudgetExceeded:
            return False
        return True

    with ThreadPoolExecutor(8) as crowd:
        assert sum(crowd.map(one, range(20))) == 7
    assert used(store) == (0, 70)
    assert used(store, "all", MONTH) == (0, 70)
