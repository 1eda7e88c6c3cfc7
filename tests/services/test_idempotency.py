"""Many that wait for one request ask the database like one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor, wait

import pytest

from gateway.domain.errors import IdempotencyKeyReused, StorageUnavailable
from gateway.runtime.interruption import ClientGone
from gateway.services.idempotency import Idempotency, Ticket
from gateway.storage.records.idempotency import Done, IdempotencyStore
from tests.server.serving import until

WAITERS = 40
REQUEST = ("s", "k", "f")


class Asked(IdempotencyStore):
    """Counts how often the database is asked, and can fail one of them."""

    asked = 0
    failure: BaseException | None = None

    def begin(self, *args, **options):
        self.asked += 1
        return super().begin(*args, **options)

    def look(self, *args):
        self.asked += 1
        failure, self.failure = self.failure, None
        if failure is not None:
            raise failure
        return super().look(*args)


@pytest.fixture
def store(world):
    return Asked(world.database)


@pytest.fixture
def service(store):
    return Idempotency(store)


@pytest.fixture
def threads():
    with ThreadPoolExecutor(WAITERS) as running:
        yield running


def begun(threads, service, store):
    """The ticket, and the others, who wait for its holder."""
    ticket = service.begin(*REQUEST)
    assert isinstance(ticket, Ticket)
    waiting = [threads.submit(service.begin, *REQUEST) for _ in range(WAITERS)]
    before = store.asked
    until(lambda: store.asked >= before + 3)
    return ticket, waiting


def test_many_wait_for_one_answer_and_one_of_them_looks(threads, service, store):
    ticket, waiting = begun(threads, service, store)
    service.finish(ticket, status=200, headers={}, body=b"answer")
    assert {future.result().body for future in waiting} == {b"answer"}
    assert store.asked < WAITERS


def test_when_the_one_that_looks_leaves_another_does(threads, service, store):
    ticket, waiting = begun(threads, service, store)
    store.failure = ClientGone("left")
    until(lambda: any(future.done() for future in waiting))
    service.finish(ticket, status=200, headers={}, body=b"answer")
    wait(waiting)
    left = [future for future in waiting if future.exception()]
    assert [type(future.exception()) for future in left] == [ClientGone]
    assert all(isinstance(future.result(), Done) for future in waiting if future not in left)


def test_when_it_is_given_up_one_of_them_serves_it(threads, service, store):
    ticket, waiting = begun(threads, service, store)
    service.abandon(ticket)
    until(lambda: any(future.done() for future in waiting))
    (first,) = [future.result() for future in waiting if future.done()]
    assert isinstance(first, Ticket)
    service.finish(first, status=200, headers={}, body=b"answer")
    found = [future.result() for future in waiting]
    assert sum(isinstance(one, Done) for one in found) == WAITERS - 1


def test_who_waits_while_the_database_is_away_is_told_so(threads, service, store):
    ticket, waiting = begun(threads, service, store)
    store.failure = StorageUnavailable("away")
    until(lambda: any(future.done() for future in waiting))
    service.finish(ticket, status=200, headers={}, body=b"")
    failures = {type(future.exception()) for future in waiting if future.exception()}
    assert failures == {StorageUnavailable}


def test_who_asks_something_else_waits_for_nobody(threads, service, store):
    ticket, waiting = begun(threads, service, store)
    with pytest.raises(IdempotencyKeyReused):
        service.begin("s", "k", "other")
    service.finish(ticket, status=200, headers={}, body=b"")
    assert all(isinstance(future.result(), Done) for future in waiting)
