"""Same key and request, same answer."""

from __future__ import annotations

import pytest

from gateway.domain.errors import Conflict, StorageUnavailable
from gateway.storage.db.processes import Processes
from gateway.storage.db.schema import processes
from gateway.storage.records.idempotency import Claim, Done, IdempotencyStore, Mismatch, Running


@pytest.fixture
def store(database) -> IdempotencyStore:
    return store_of(database, "here")


@pytest.fixture
def dead(database) -> IdempotencyStore:
    """The store of a process that is gone as soon as it has claimed something."""
    return store_of(database, "there")


def store_of(database, host: str) -> IdempotencyStore:
    return IdempotencyStore(database, Processes(database, host=host))


def forget(database) -> None:
    with database.write() as connection:
        connection.execute(processes.delete().where(processes.c.host == "there"))


def test_the_first_serves_and_the_others_get_its_answer(store, dead):
    first = store.begin("s", "k", "f")
    assert isinstance(first, Claim)
    assert store.begin("s", "k", "f") == dead.begin("s", "k", "f") == Running(None)
    assert store.find("s", "k", "f") == Running(None)
    assert not dead.finish(first, status=500, headers={}, body=b"")
    assert store.finish(first, status=201, headers={"A": "b"}, body=b"\0\xff")
    assert store.begin("s", "k", "f") == Done(201, {"A": "b"}, b"\0\xff", None)
    assert not store.finish(first, status=500, headers={}, body=b"")


def test_another_request_under_the_same_key_is_a_mismatch(store, dead, database):
    dead.begin("s", "k", "f")
    forget(database)
    assert store.begin("s", "k", "other") == store.find("s", "k", "other") == Mismatch()
    store.finish(store.begin("s", "k", "f"), status=200, headers={}, body=b"")
    assert store.begin("s", "k", "other") == Mismatch()
    assert isinstance(store.begin("another scope", "k", "other"), Claim)


def test_an_abandoned_request_may_be_sent_again(store):
    first = store.begin("s", "k", "f")
    assert store.abandon(first)
    assert not store.abandon(first)
    assert store.find("s", "k", "f") is None
    assert isinstance(store.begin("s", "k", "other"), Claim)


def test_a_request_whose_process_died_is_served_by_the_next(store, dead, database):
    lost = dead.begin("s", "k", "f")
    assert store.begin("s", "k", "f") == Running(None)
    forget(database)
    assert store.find("s", "k", "f") is None
    assert isinstance(store.begin("s", "k", "f"), Claim)
    with pytest.raises(Conflict), database.begin() as connection:
        dead.attach(lost, "job-1")(connection)
    assert not dead.finish(lost, status=200, headers={}, body=b"late")
    assert not dead.abandon(lost)
    assert store.begin("s", "k", "f") == Running(None)


def test_a_request_that_became_a_job_is_never_served_again(store, dead, database):
    first = dead.begin("s", "k", "f")
    with database.begin() as connection:
        dead.attach(first, "job-1")(connection)
    forget(database)
    assert not dead.abandon(first)
    assert store.begin("s", "k", "f") == Running("job-1")
    assert dead.finish(first, status=200, headers={}, body=b"x")
    assert store.begin("s", "k", "f") == Done(200, {}, b"x", "job-1")


def test_a_claim_that_could_not_be_given_back_is_given_back_with_the_next(
    store, database, monkeypatch
):
    def away(**options):
        raise StorageUnavailable("away")

    first = store.begin("s", "k", "f")
    with monkeypatch.context() as patch:
        patch.setattr(database, "write", away)
        with pytest.raises(StorageUnavailable):
            store.abandon(first)
    assert isinstance(store.begin("s", "k", "f"), Claim)


def test_answers_expire(database, clock):
    store = IdempotencyStore(database, Processes(database), clock=clock)
    first = store.begin("s", "k", "f", ttl_s=10)
    store.finish(first, status=200, headers={}, body=b"")
    clock.time += 11
    assert isinstance(store.begin("s", "k", "other", ttl_s=10), Claim)
    store.begin("s", "kept", "f")
    clock.time += 11
    assert store.purge() == 1
    assert isinstance(store.begin("s", "k", "f"), Claim)
    assert store.begin("s", "kept", "f") == Running(None)
