"""What every process does beside answering goes on, whatever becomes of one turn of it."""

from __future__ import annotations

from threading import Event

import pytest

from gateway.domain.errors import StorageUnavailable
from gateway.runtime.periodic import BackgroundTasks, PeriodicTask


@pytest.mark.parametrize("err", [StorageUnavailable("away"), OverflowError("too large")])
def test_a_chore_that_fails_is_called_again(err):
    calls, enough = [], Event()

    def work():
        calls.append(1)
        if len(calls) == 3:
            enough.set()
        raise err

    stopped = []
    background = BackgroundTasks(
        [PeriodicTask("odd", 0.001, work)], at_stop=[work, lambda: stopped.append(1)]
    )
    background.start()
    assert enough.wait(10)
    background.stop()
    assert stopped == [1]
