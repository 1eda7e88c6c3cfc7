"""One access token for all processes: each `share` here is a process."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from gateway.domain.accounts import Secret
from gateway.domain.errors import UpstreamOverloaded
from gateway.runtime.interruption import ClientGone, DrainExit, answering
from gateway.services.sessions.shared_tokens import SharedTokens
from gateway.storage.db.engine import Database
from gateway.storage.records.tokens import TokenStore
from gateway.upstreams.base import Token
from tests.services.pools import KEYS


class Vendor:
    """Grants token after token."""

    def __init__(self, *, lasts_s=3600.0, fails=0):
        self.asked = 0
        self._lasts_s = lasts_s
        self._fails = fails

    def fetch(self):
        self.asked += 1
        if self.asked <= self._fails:
            raise UpstreamOverloaded("503")
        return Token(f"token-{self.asked}", self._lasts_s)


def process(world, keys=KEYS):
    return SharedTokens(TokenStore(world.database, secret_keys=keys))


def fresh(token):
    return token.left_s > 240


def test_processes_that_need_a_token_at_once_fetch_one(any_world):
    vendor = Vendor()
    shares = [process(any_world) for _ in range(8)]
    with ThreadPoolExecutor(8) as threads:
        tokens = list(threads.map(lambda share: share("key", vendor.fetch, fresh), shares))
    assert vendor.asked == 1
    assert {token.text for token in tokens} == {"token-1"}
    assert all(3500 < token.left_s <= 3600 for token in tokens)


def test_every_credential_has_its_own(world):
    vendor = Vendor()
    assert process(world)("one", vendor.fetch, fresh) != process(world)("two", vendor.fetch, fresh)


def test_a_token_that_is_no_longer_usable_is_replaced_for_all(world):
    vendor = Vendor()
    one, other = process(world), process(world)
    assert one("key", vendor.fetch, fresh).text == "token-1"
    assert one("key", vendor.fetch, lambda token: token.text != "token-1").text == "token-2"
    assert other("key", vendor.fetch, fresh).text == "token-2"


def test_a_failure_is_nobody_elses(world):
    vendor = Vendor(fails=1)
    with pytest.raises(UpstreamOverloaded):
        process(world)("key", vendor.fetch, fresh)
    assert process(world)("key", vendor.fetch, fresh).text == "token-2"


@pytest.mark.parametrize("end", [ClientGone, DrainExit])
def test_a_caller_that_leaves_during_a_fetch_keeps_nobody_from_the_next(world, end):
    vendor = Vendor()

    def leave():
        raise end

    with pytest.raises(end):
        process(world)("key", leave, fresh)
    began = time.monotonic()
    assert process(world)("key", vendor.fetch, fresh).text == "token-1"
    assert time.monotonic() - began < 20, "a claim is for 30 s"


def test_a_caller_that_leaves_while_he_claims_the_fetch_keeps_nobody_from_it(world):
    class Leaving:
        shields = 0

        def end_of_shield(self):
            answering.reset(token)
            raise ClientGone

    vendor = Vendor()
    token = answering.set(Leaving())
    with pytest.raises(ClientGone):
        process(world)("key", vendor.fetch, fresh)
    began = time.monotonic()
    assert process(world)("key", vendor.fetch, fresh).text == "token-1"
    assert time.monotonic() - began < 20, "a claim is for 30 s"
    assert vendor.asked == 1


def test_others_wait_for_the_one_that_fetches(world):
    vendor = Vendor()
    asked, answer = Event(), Event()

    def slowly():
        asked.set()
        assert answer.wait(10)
        return vendor.fetch()

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(process(world), "key", slowly, fresh)
        assert asked.wait(10)
        second = threads.submit(process(world), "key", vendor.fetch, fresh)
        answer.set()
        assert first.result(10).text == second.result(10).text == "token-1"


def test_without_the_database_every_process_fetches_its_own(world):
    away = Database(f"sqlite:///{world.folder}/nowhere.db", wait_s=0.1)
    vendor = Vendor()
    for _ in range(2):
        SharedTokens(TokenStore(away, secret_keys=KEYS))("key", vendor.fetch, fresh)
    assert vendor.asked == 2
    away.close()


def test_a_stored_token_is_readable_with_the_secret_key_alone(world):
    vendor = Vendor()
    process(world)("key", vendor.fetch, fresh)
    with world.database.read() as connection:
        stored = connection.exec_driver_sql("SELECT * FROM tokens").one()
    assert b"token-1" not in stored.token
    other = process(world, keys=[Secret("another" * 5)])
    assert other("key", vendor.fetch, fresh).text == "token-2"
