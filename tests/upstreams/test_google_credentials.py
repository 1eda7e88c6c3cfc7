"""Access tokens of service accounts: one refresh for many calls, and whose fault a failure is."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier

import pytest

from gateway.domain.accounts import Account, Secret
from gateway.domain.errors import (
    AccountRejected,
    GatewayError,
    UpstreamInvalidResponse,
    UpstreamOverloaded,
    UpstreamUnreachable,
)
from gateway.net.http.client import Http
from gateway.upstreams.google.credentials import GoogleCredentials
from tests.server.serving import until
from tests.support.simulators import Simulators
from tests.upstreams.conftest import Canned, Vendor
from tests.upstreams.enterprise_support import ACCOUNT, chat_of, user


def service(simulators: Simulators, account: Account, **options: int) -> Account:
    """The account with tokens that last as long as `expires_in` says."""
    return replace(account, secret=Secret(simulators.service_account(account.name, **options)))


def fetched(simulators: Simulators, account: Account) -> int:
    return simulators.operations(account.name).get("oauth2.token", 0)


def at_once(credentials: GoogleCredentials, account: Account, callers: int = 100) -> list[str]:
    """The tokens, or the names of errors, that many callers get at the same time."""
    start = Barrier(callers)

    def call(_: int) -> str:
        start.wait(10)
        try:
            return credentials.bearer(account)
        except GatewayError as error:
            return f"{type(error).__name__}, sent: {error.sent}"

    with ThreadPoolExecutor(callers) as pool:
        return list(pool.map(call, range(callers)))


def answered_by(simulators: Simulators, canned: Canned, *answers: object, status: int = 200) -> str:
    """A key file whose tokens are asked of a server with these answers."""
    key = json.loads(simulators.service_account("someone@example.com"))
    key["token_uri"] = f"{canned.url}/token"
    for answer in answers:
        canned.say(answer, status=status)
    return json.dumps(key)


def test_callers_that_find_no_token_share_one_request(enterprise, simulators, http) -> None:
    account = enterprise.account()
    assert len(set(at_once(GoogleCredentials(http), account))) == 1
    assert fetched(simulators, account) == 1


def test_failed_request_fails_for_all_that_waited(enterprise, simulators, http) -> None:
    account = enterprise.account("denied")
    assert set(at_once(GoogleCredentials(http), account)) == {"AccountRejected, sent: False"}
    assert fetched(simulators, account) < 10


def test_token_in_its_last_minutes_is_used_while_one_call_fetches_the_next(
    enterprise, simulators, http
) -> None:
    account = service(simulators, enterprise.account(), expires_in=200)
    credentials = GoogleCredentials(http)
    first = credentials.bearer(account)
    assert credentials.bearer(account) == first
    until(lambda: credentials.bearer(account) != first)
    lasting = service(simulators, enterprise.account(), expires_in=300)
    assert len({credentials.bearer(lasting) for _ in range(5)}) == 1
    assert fetched(simulators, lasting) == 1


def test_token_outlives_a_failure_to_fetch_the_next(simulators, canned, http) -> None:
    key = answered_by(simulators, canned, {"access_token": "ya29.first", "expires_in": 200})
    credentials, account = GoogleCredentials(http), replace(ACCOUNT, secret=Secret(key))
    assert credentials.bearer(account) == "ya29.first"
    canned.say({"error": "invalid_grant"}, status=400)
    assert credentials.bearer(account) == "ya29.first"
    until(lambda: len(canned.bodies) == 2)
    canned.say({"error": "invalid_grant"}, status=400)
    assert credentials.bearer(account) == "ya29.first"


def test_account_whose_new_token_is_refused_too_is_rejected(
    scripted_enterprise: Vendor, canned: Canned, simulators: Simulators
) -> None:
    account = scripted_enterprise.account()
    for fetches in (2, 3):
        for _ in range(2):
            canned.say({"error": {"code": 401, "message": "expired"}}, status=401)
        with pytest.raises(AccountRejected):
            scripted_enterprise.chat(chat_of(user("Hello")), account)
        assert fetched(simulators, account) == fetches


def test_token_of_ones_own_is_refused_at_once(scripted_enterprise, canned) -> None:
    canned.say({"error": {"code": 401, "message": "expired"}}, status=401)
    with pytest.raises(AccountRejected):
        scripted_enterprise.chat(chat_of(user("Hello")), ACCOUNT)
    assert len(canned.bodies) == 1


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("wrong", AccountRejected),
        ("overloaded", UpstreamOverloaded),
    ],
)
def test_refused_service_account_was_sent_nothing(enterprise, words: str, error) -> None:
    with pytest.raises(error) as caught:
        enterprise.chat(chat_of(user("Hello")), enterprise.account(words))
    assert type(caught.value) is error
    assert not caught.value.sent


@pytest.mark.parametrize(
    "damage",
    [
        lambda key: "{",
        lambda key: "{}",
        lambda key: json.dumps({**key, "private_key": "no key"}),
        lambda key: json.dumps({**key, "client_email": None, "private_key": None}),
    ],
)
def test_malformed_key_is_the_accounts_fault(simulators, http, damage) -> None:
    key = json.loads(simulators.service_account("someone@example.com"))
    account = replace(ACCOUNT, secret=Secret(damage(key)))
    with pytest.raises(AccountRejected, match="malformed"):
        GoogleCredentials(http).bearer(account)


def test_token_service_that_is_away_was_sent_nothing(simulators: Simulators, http: Http) -> None:
    key = json.loads(simulators.service_account("someone@example.com"))
    key["token_uri"] = "http://127.0.0.1:1/token"
    with pytest.raises(UpstreamUnreachable) as caught:
        GoogleCredentials(http).bearer(replace(ACCOUNT, secret=Secret(json.dumps(key))))
    assert not caught.value.sent


@pytest.mark.parametrize("grant", [{}, [], {"access_token": "ya29.1", "expires_in": "soon"}])
def test_grant_without_a_token_is_refused(simulators, canned, http, grant) -> None:
    key = answered_by(simulators, canned, grant)
    with pytest.raises(UpstreamInvalidResponse):
        GoogleCredentials(http).bearer(replace(ACCOUNT, secret=Secret(key)))
