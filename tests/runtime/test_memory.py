"""Large requests share the memory of a process, and failed ones leave none behind."""

from __future__ import annotations

import threading
import weakref

import pytest

from gateway.domain.errors import GatewayOverloaded
from gateway.runtime.memory import MemoryBudget, release_frames


def test_a_request_waits_until_another_gives_its_share_back():
    budget = MemoryBudget(100, wait_s=20)
    order = []

    def second():
        with budget.reserve(60):
            order.append("second")

    with budget.reserve(60):
        thread = threading.Thread(target=second)
        thread.start()
        with budget.reserve(40):
            order.append("first")
    thread.join(20)
    assert order == ["first", "second"]


def test_a_request_that_waits_too_long_is_told_to_come_again():
    budget = MemoryBudget(100, wait_s=0.05)
    with budget.reserve(60), pytest.raises(GatewayOverloaded) as caught, budget.reserve(60):
        pass
    assert (caught.value.status, caught.value.retry_after) == (503, 1)
    with budget.reserve(1000):  # all of it, alone
        pass


def test_released_frames_hold_nothing_though_the_error_lives_on():
    class Large:
        pass

    kept = []

    def fail():
        large = Large()
        kept.append(weakref.ref(large))
        raise ValueError(1)

    try:
        fail()
    except ValueError as error:
        caught = error
    assert kept[0]() is not None
    release_frames(caught)
    assert kept[0]() is None
