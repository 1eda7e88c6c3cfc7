"""Queries about tasks: spread, slowed down by a rate limit, and quick again afterwards."""

from __future__ import annotations

import pytest

from gateway.services.jobs.pacing import QueryPacer


@pytest.fixture
def pacer(clock) -> QueryPacer:
    return QueryPacer(clock=clock)


def test_queries_that_fall_due_together_are_spread(pacer):
    waits = [pacer.reserve("a") for _ in range(150)]
    assert waits[:3] == pytest.approx([0, 0.125, 0.25])
    assert waits[-1] < 20
    assert pacer.reserve("another") == 0


def test_a_rate_limit_pauses_and_slows_the_queries_of_its_account(pacer, clock):
    for _ in range(5):
        pacer.limited("a", 2.0)  # of one burst
    waits = [pacer.reserve("a") for _ in range(3)]
    assert waits == pytest.approx([2.0, 2.25, 2.5])
    assert pacer.reserve("another") == 0


def test_answers_make_the_queries_quick_again(pacer, clock):
    for _ in range(10):
        clock.time += 5
        pacer.limited("a", None)
    assert pacer.reserve("a") == pytest.approx(1)
    assert pacer.reserve("a") == pytest.approx(3)
    for _ in range(40):
        pacer.answered("a")
    clock.time += 60
    assert pacer.reserve("a") == 0
    assert pacer.reserve("a") == pytest.approx(0.125)


def test_a_long_retry_after_does_not_stop_the_queries_for_long(pacer):
    pacer.limited("a", 86_400.0)
    assert pacer.reserve("a") == pytest.approx(60)
