"""Names that take for ever: they hold the places they were given, and nothing else."""

from __future__ import annotations

import threading
import time

import pytest

from gateway.domain.errors import UpstreamTimeout, UpstreamUnreachable
from gateway.net.http.connect import Lookups
from gateway.runtime.cooperative import unpatched


@pytest.fixture
def resolver():
    """Knows nothing, and is stuck at slow names until `over`: a lock as threads have it."""
    lock = unpatched("_thread", "allocate_lock")()
    lock.acquire()

    def look_up(host, *_, **__):
        look_up.asked.append(host)
        if host.startswith("slow"):
            with lock:
                pass
        return []

    look_up.asked = []
    look_up.over = lock.release
    yield look_up
    if lock.locked():
        lock.release()


def failure(lookups, name, seconds=30):
    with pytest.raises((UpstreamTimeout, UpstreamUnreachable)) as caught:
        lookups.resolve(name, 80, seconds)
    return caught.value.message


def test_names_are_refused_at_once_while_all_places_are_stuck_and_looked_up_afterwards(resolver):
    lookups = Lookups(resolver, size=2)
    for name in ("slow.test", "slow-too.test"):
        assert "was not resolved" in failure(lookups, name, 0.05)
    assert failure(lookups, "good.test", 600).startswith("Too many other names")
    assert resolver.asked == ["slow.test", "slow-too.test"]
    resolver.over()
    deadline = time.monotonic() + 30
    while failure(lookups, "good.test").startswith("Too many other names"):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert resolver.asked[2:] == ["good.test"]


def with_its_one_place_taken(resolver):
    lookups = Lookups(resolver, size=1)
    first = threading.Thread(target=failure, args=(lookups, "slow.test"))
    first.start()
    while not resolver.asked:
        time.sleep(0.001)
    return lookups, first


def test_name_waits_for_a_place_that_is_in_use(resolver):
    lookups, first = with_its_one_place_taken(resolver)
    threading.Timer(0.05, resolver.over).start()
    assert "could not be resolved" in failure(lookups, "good.test")
    first.join(30)


def test_one_who_finds_no_place_in_time_is_told_so(resolver):
    lookups, first = with_its_one_place_taken(resolver)
    assert failure(lookups, "good.test", 0.05).startswith("Too many other names")
    resolver.over()
    first.join(30)
