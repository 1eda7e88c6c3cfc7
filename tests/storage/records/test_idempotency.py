"""Same key and request, same answer."""

from __future__ import annotations

import pytest

from gateway.domain.errors import Conflict
from gateway.storage.records.idempotency import Done, IdempotencyStore, Mismatch, New, Running

LAPSED = -1.0


@pytest.fixture
def store(database) -> IdempotencyStore:
    return IdempotencyStore(database)


def test_the_first_serves_and_the_others_wait_for_its_answer(store):
    first = store.begin("s", "k", "f")
    assert isinstance(first, New)
    assert store.begin("s", "k", "f") == Running(None)
    assert store.finish(first.token, status=201, headers={"A": "b"}, body=b"\0\xff")
    assert store.begin("s", "k", "f") == Done(201, {"A": "b"}, b"\0\xff", None)
    assert not store.finish(first.token, status=500, headers={}, body=b"")


def test_another_request_under_the_same_key_is_told_so(store):
    first = store.begin("s", "k", "f", lease_s=LAPSED)
    assert store.begin("s", "k", "other") == Mismatch()
    store.finish(first.token, status=200, headers={}, body=b"")
    assert store.begin("s", "k", "other") == Mismatch()
    assert isinstance(store.begin("another scope", "k", "other"), New)


def test_a_request_given_up_may_be_sent_again(store):
    first = store.begin("s", "k", "f")
    assert store.abandon(first.token)
    assert not store.abandon(first.token)
    assert isinstance(store.begin("s", "k", "other"), New)


def test_a_request_whose_process_died_is_retaken(store, database):
    dead = store.begin("s", "k", "f", lease_s=LAPSED)
    assert isinstance(store.begin("s", "k", "f"), New)
    with pytest.raises(Conflict), database.begin() as connection:
        store.attach(dead.token, "job-1")(connection)
    assert not store.finish(dead.token, status=200, headers={}, body=b"late")
    assert not store.abandon(dead.token)
    assert store.begin("s", "k", "f") == Running(None)


def test_a_request_that_became_a_job_is_never_retaken(store, database):
    first = store.begin("s", "k", "f", lease_s=LAPSED)
    with database.begin() as connection:
        store.attach(first.token, "job-1")(connection)
    assert not store.abandon(first.token)
    assert store.begin("s", "k", "f") == Running("job-1")
    assert store.finish(first.token, status=200, headers={}, body=b"x")
    assert store.begin("s", "k", "f") == Done(200, {}, b"x", "job-1")


def test_requests_being_served_are_held_in_bulk(store):
    tokens = [store.begin("s", key, "f", lease_s=LAPSED).token for key in "abc"]
    store.finish(tokens[0], status=200, headers={}, body=b"")
    assert store.renew(tokens) == 2
    assert store.begin("s", "b", "f") == Running(None)


def test_answers_expire(store):
    first = store.begin("s", "k", "f", ttl_s=LAPSED)
    store.finish(first.token, status=200, headers={}, body=b"")
    again = store.begin("s", "k", "other", ttl_s=LAPSED)
    assert isinstance(again, New)
    store.begin("s", "kept", "f")
    assert store.purge() == 1
    assert isinstance(store.begin("s", "k", "f"), New)
    assert store.begin("s", "kept", "f") == Running(None)
