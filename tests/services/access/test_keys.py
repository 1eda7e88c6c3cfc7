"""Stored keys in memory: new ones, revoked ones, and what happens without the database."""

from __future__ import annotations

from contextlib import contextmanager

import pytest

from gateway.domain.accounts import GatewayKey, Secret
from gateway.domain.errors import StorageUnavailable
from gateway.services.access.keys import KeyRing
from gateway.storage.db.engine import Database
from gateway.storage.records.api_keys import KeyStore

STATIC = Secret("static-key-0123456789")


class Clock:
    def __init__(self):
        self.time = 1000.0

    def __call__(self):
        return self.time


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def database(tmp_path):
    made = Database(f"sqlite:///{tmp_path}/gateway.db", wait_s=0.2, backoff_s=0)
    made.migrate()
    yield made
    made.close()


@pytest.fixture
def store(database):
    return KeyStore(database)


@pytest.fixture
def ring(store, clock):
    return KeyRing([GatewayKey("static", STATIC.digest)], store, clock=clock)


@contextmanager
def away(database, folder):
    """While the block runs a folder is where the file of the database was."""
    file = folder / "gateway.db"
    database.close()
    file.rename(file.with_suffix(".gone"))
    file.mkdir()
    yield
    file.rmdir()
    file.with_suffix(".gone").rename(file)


def find(ring, secret):
    found = ring.find(secret.reveal(), secret.digest)
    return found and found.name


def test_a_new_key_is_known_at_once(ring, store, clock):
    assert find(ring, Secret("gw-unknown")) is None
    _, secret = store.create("team")
    clock.time += 0.1
    assert find(ring, secret) == "team"


def test_a_revoked_key_is_refused_within_two_seconds(ring, store, clock):
    _, secret = store.create("team")
    assert find(ring, secret) == "team"
    store.revoke("team")
    clock.time += 2
    assert find(ring, secret) is None


def test_a_key_expires_while_it_is_in_memory(store, clock):
    wall = Clock()
    ring = KeyRing([GatewayKey("s", STATIC.digest, expires_at=1100)], store, clock=clock, now=wall)
    assert find(ring, STATIC) == "s"
    wall.time = 1100
    assert find(ring, STATIC) is None


def test_unknown_keys_ask_the_database_twenty_times_a_second_at_most(ring, store, clock):
    with_queries = []
    version = store.version
    store.version = lambda: with_queries.append(1) or version()
    for number in range(1000):
        assert find(ring, Secret(f"gw-{number}")) is None
        clock.time += 0.001
    assert len(with_queries) <= 21


def test_without_the_database_known_keys_work_and_unknown_ones_cannot_be_told(
    ring, store, clock, database, tmp_path
):
    _, known = store.create("known")
    _, unheard = store.create("unheard")
    store.revoke("unheard")
    assert find(ring, known) == "known"
    with away(database, tmp_path):
        for _ in range(3):
            clock.time += 60
            assert find(ring, STATIC) == "static"
            assert find(ring, known) == "known"
            with pytest.raises(StorageUnavailable) as refused:
                find(ring, unheard)
            assert refused.value.retry_after
            assert find(ring, Secret("ark-own-credential")) is None
    clock.time += 60
    assert find(ring, unheard) is None
    assert find(ring, known) == "known"
