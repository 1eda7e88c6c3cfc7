"""Equal requests wait for the answer of the one that is served."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait

import pytest

from gateway.domain.errors import IdempotencyKeyReused, StorageUnavailable
from gateway.services.idempotency import Claim, Done, Idempotency, Running
from gateway.storage.db.processes import Processes
from gateway.storage.records.idempotency import IdempotencyStore
from tests.server.serving import until

WAITERS = 10
REQUEST = ("s", "k", "f")


@pytest.fixture
def store(world):
    return IdempotencyStore(world.database, Processes(world.database))


@pytest.fixture
def service(store):
    return Idempotency(store)


@pytest.fixture
def threads():
    with ThreadPoolExecutor(WAITERS) as running:
        yield running


@pytest.fixture
def claim(service):
    found = service.begin(*REQUEST)
    assert isinstance(found, Claim)
    return found


@pytest.fixture
def waiting(claim, threads, service):
    """Equal requests, which wait for the holder of the claim."""
    return [threads.submit(service.begin, *REQUEST) for _ in range(WAITERS)]


def test_many_wait_for_one_answer(waiting, service, claim):
    service.finish(claim, status=200, headers={}, body=b"answer")
    assert {future.result().body for future in waiting} == {b"answer"}


def test_those_who_wait_are_told_of_the_job_that_the_request_became(waiting, service, claim, world):
    with world.database.begin() as connection:
        service.attach(claim, "job-1")(connection)
    assert {future.result() for future in waiting} == {Running("job-1")}


def test_when_the_request_is_abandoned_one_of_them_serves_it(waiting, service, claim):
    service.abandon(claim)
    until(lambda: any(future.done() for future in waiting))
    (first,) = [future.result() for future in waiting if future.done()]
    assert isinstance(first, Claim)
    service.finish(first, status=200, headers={}, body=b"answer")
    found = [future.result() for future in waiting]
    assert sum(isinstance(one, Done) for one in found) == WAITERS - 1


def test_those_who_wait_while_the_database_is_away_are_told_so(
    waiting, service, claim, store, monkeypatch
):
    def away(*arguments):
        raise StorageUnavailable("away")

    monkeypatch.setattr(store, "find", away)
    wait(waiting)
    assert {type(future.exception()) for future in waiting} == {StorageUnavailable}


def test_another_request_under_the_same_key_waits_for_nobody(service, claim):
    with pytest.raises(IdempotencyKeyReused):
        service.begin("s", "k", "other")
