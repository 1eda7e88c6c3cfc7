"""Gateway keys, vendor accounts and their health."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from gateway.domain.accounts import Account, GatewayKey, Secret
from gateway.domain.errors import Conflict, StorageUnavailable
from gateway.storage.records.account_states import AccountState, AccountStateStore
from gateway.storage.records.accounts import AccountStore
from gateway.storage.records.api_keys import KeyStore

SECRET = "a-secret-of-a-vendor-1234"
ACCOUNT = Account(
    name="one",
    upstream="u",
    secret=Secret(SECRET),
    base_url="https://vendor.example",
    weight=2,
    max_in_flight=3,
    limits={"chat": "600/minute"},
    models=frozenset({"m", "n"}),
)


@pytest.fixture
def keys(database, clock) -> KeyStore:
    return KeyStore(database, clock=clock)


@pytest.fixture
def accounts(database, clock) -> AccountStore:
    return AccountStore(database, secret_keys=[Secret("k" * 16)], clock=clock)


@pytest.fixture
def states(database) -> AccountStateStore:
    return AccountStateStore(database)


def test_a_key_is_recognised_by_the_digest_of_a_secret_that_is_not_kept(keys, database):
    record, secret = keys.create("team", limits="5/minute", models=["b", "a"])
    assert re.fullmatch(r"gw-[A-Za-z0-9_-]{40}", secret.reveal())
    assert keys.valid() == [
        GatewayKey("team", secret.digest, limits="5/minute", models=frozenset({"a", "b"}))
    ]
    assert keys.list() == [record]
    assert record.last_four == secret.reveal()[-4:]
    with database.read() as connection:
        stored = connection.exec_driver_sql("SELECT * FROM keys").one()
    assert secret.reveal() not in str(stored)


def test_a_revoked_key_is_unknown_at_once_and_its_name_is_spent(keys):
    keys.create("team")
    assert keys.revoke("team")
    assert not keys.revoke("team")
    assert keys.valid() == []
    assert keys.list()[0].revoked_at is not None
    with pytest.raises(Conflict):
        keys.create("team")


def test_a_key_expires(keys, clock):
    keys.create("guest", expires_at=clock.time + 10)
    assert [key.expires_at for key in keys.valid()] == [clock.time + 10]
    clock.time += 10
    assert keys.valid() == []


def test_every_change_of_keys_moves_their_version_and_nothing_else_does(keys, accounts):
    seen = [keys.version()]
    keys.create("team")
    seen.append(keys.version())
    keys.revoke("team")
    seen.append(keys.version())
    keys.revoke("team")
    accounts.add(ACCOUNT)
    assert len(set(seen)) == 3
    assert keys.version() == seen[-1]


def test_an_account_comes_back_with_its_secret_for_who_has_the_key(accounts):
    record = accounts.add(ACCOUNT)
    assert accounts.get("one") == record
    assert accounts.list() == [record]
    opened = accounts.unlock(record)
    assert opened.secret.reveal() == SECRET
    assert replace(opened, secret=ACCOUNT.secret) == ACCOUNT
    assert accounts.get("two") is None
    with pytest.raises(Conflict):
        accounts.add(ACCOUNT)


def test_an_accounts_secret_is_nowhere_in_the_clear(accounts, database):
    record = accounts.add(ACCOUNT)
    with database.read() as connection:
        stored = connection.exec_driver_sql("SELECT * FROM accounts").one()
    assert SECRET not in f"{stored} {record}"
    assert SECRET.encode() not in record.secret
    assert record.last_four == "1234"


@pytest.mark.parametrize("secret", ["short", '{"private_key": "a service account, as JSON"}'])
def test_nothing_shows_of_secrets_whose_end_is_all_or_nothing(accounts, secret):
    assert accounts.add(replace(ACCOUNT, secret=Secret(secret))).last_four == ""


def test_secrets_survive_a_change_of_the_secret_key_but_not_its_loss(accounts, database):
    record = accounts.add(ACCOUNT)
    old, new = Secret("k" * 16), Secret("n" * 16)
    rotated = AccountStore(database, secret_keys=[new, old])
    assert rotated.unlock(record).secret.reveal() == SECRET
    with pytest.raises(StorageUnavailable, match="'one'"):
        AccountStore(database, secret_keys=[new]).unlock(record)


def test_a_rotation_is_over_once_all_secrets_are_encrypted_anew(accounts, database):
    record = accounts.add(ACCOUNT)
    lost = AccountStore(database, secret_keys=[Secret("l" * 16)]).add(replace(ACCOUNT, name="two"))
    old, new = Secret("k" * 16), Secret("n" * 16)
    rotated = AccountStore(database, secret_keys=[new, old])
    version = rotated.version()
    assert rotated.rotate() == 1
    renewed = rotated.get("one")
    assert renewed == replace(record, secret=renewed.secret)
    assert AccountStore(database, secret_keys=[new]).unlock(renewed).secret.reveal() == SECRET
    assert rotated.version() == version  # who holds the account need not read it again
    assert rotated.is_current(renewed)
    assert not rotated.is_current(lost)
    assert rotated.get("two") == lost


def test_accounts_are_drained_disabled_and_removed_and_their_version_tells(accounts):
    accounts.add(ACCOUNT)
    seen = [accounts.version()]
    for status in ("draining", "disabled", "enabled"):
        assert accounts.set_status("one", status)
        assert accounts.get("one").status == status
        seen.append(accounts.version())
    assert accounts.remove("one")
    seen.append(accounts.version())
    assert len(set(seen)) == 5
    assert not accounts.remove("one")
    assert not accounts.set_status("one", "enabled")
    assert accounts.version() == seen[-1]


def test_a_state_comes_back_as_it_was_written(states):
    state = AccountState(
        "one",
        cool_until=5.5,
        cool_reason="minute_quota",
        quota_failures=2,
        ejected_until=7.5,
        eject_reason="account",
        ejections=1,
        models={"m": [9.5, "quota"]},
        changed_at=1.5,
    )
    revision = states.set(state)
    assert states.changes(0) == [(revision, state)]


def test_readers_get_only_what_changed_since_they_asked(states):
    first = states.set(AccountState("one", ejections=1))
    second = states.set(AccountState("two", ejections=1))
    assert [state.account for _, state in states.changes(0)] == ["one", "two"]
    assert states.changes(second) == []
    third = states.set(AccountState("one"))
    assert states.changes(second) == [(third, AccountState("one"))]
    assert first < second < third
