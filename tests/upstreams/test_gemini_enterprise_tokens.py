"""The access tokens of service accounts."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier, Event

import pytest

from gateway.domain.accounts import Account, Secret
from gateway.domain.errors import (
    AccountRejected,
    GatewayError,
    UpstreamInvalidResponse,
    UpstreamOverloaded,
    UpstreamUnreachable,
)
from gateway.net.fetch.fetcher import Fetcher
from gateway.net.http.client import Http
from gateway.runtime.interruption import ClientGone
from gateway.upstreams.base import Token
from gateway.upstreams.gemini_enterprise.adapter import GeminiEnterprise
from gateway.upstreams.google.tokens import Tokens
from gateway.upstreams.registry import VENDORS
from tests.support.simulators import Simulators
from tests.upstreams.conftest import Canned, Vendor, text_of
from tests.upstreams.enterprise_support import (
    ACCOUNT,
    chat_of,
    user,
)


def service(simulators: Simulators, account: Account, **options: int) -> Account:
    """The account with tokens that last as long as `expires_in` says."""
    return replace(account, secret=Secret(simulators.service_account(account.name, **options)))


def fetched(simulators: Simulators, account: Account) -> int:
    return simulators.operations(account.name).get("oauth2.token", 0)


def at_once(tokens: Tokens, account: Account, callers: int = 100) -> list[str]:
    """The tokens, or the names of errors, that many callers get at the same time."""
    together = Barrier(callers)

    def call(_: int) -> str:
        together.wait(10)
        try:
            return tokens.bearer(account)
        except GatewayError as error:
            return f"{type(error).__name__}, sent: {error.sent}"

    with ThreadPoolExecutor(callers) as pool:
        return list(pool.map(call, range(callers)))


def test_callers_that_find_no_token_share_one_request(enterprise, simulators, http) -> None:
    account = enterprise.account()
    assert len(set(at_once(Tokens(http), account))) == 1
    assert fetched(simulators, account) == 1


def test_callers_that_find_an_expired_token_share_one_request(enterprise, simulators, http) -> None:
    account = enterprise.account()
    now = 0.0
    tokens = Tokens(http, clock=lambda: now)
    first = tokens.bearer(account)
    now = 3700.0
    [second] = set(at_once(tokens, account))
    assert second != first
    assert fetched(simulators, account) == 2


def test_token_that_cannot_be_renewed_is_used_to_its_end(enterprise, canned, http) -> None:
    key = json.loads(enterprise.simulators.service_account("someone@example.com"))
    key["token_uri"] = f"{canned.url}/token"
    account = replace(ACCOUNT, secret=Secret(json.dumps(key)))
    now = 0.0
    tokens = Tokens(http, clock=lambda: now)
    canned.say({"access_token": "ya29.first", "expires_in": 3600})
    canned.say({"error": "internal_failure"}, status=500)
    canned.say({"error": "internal_failure"}, status=500)
    assert tokens.bearer(account) == "ya29.first"
    now = 3500.0
    assert tokens.bearer(account) == "ya29.first"
    now = 3601.0
    with pytest.raises(UpstreamOverloaded):
        tokens.bearer(account)


def test_failed_request_fails_for_all_that_waited(enterprise, simulators, http) -> None:
    account = enterprise.account("denied")
    assert set(at_once(Tokens(http), account)) == {"AccountRejected, sent: False"}
    assert fetched(simulators, account) < 10


def test_caller_that_leaves_during_a_request_passes_no_earlier_failure_on(enterprise, http) -> None:
    asked, leave = Event(), Event()
    answers = [UpstreamOverloaded("503"), ClientGone(), Token("token", 3600)]

    def share(key: str, fetch: Callable[[], Token], usable: Callable[[Token], bool]) -> Token:
        answer = answers.pop(0)
        if isinstance(answer, ClientGone):
            asked.set()
            assert leave.wait(10)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    tokens, account = Tokens(http, share=share), enterprise.account()
    with pytest.raises(UpstreamOverloaded):
        tokens.bearer(account)
    with ThreadPoolExecutor(2) as threads:
        leaving = threads.submit(tokens.bearer, account)
        assert asked.wait(10)
        waiting = threads.submit(tokens.bearer, account)
        while not waiting.running():
            time.sleep(0.001)
        time.sleep(0.01)  # nobody can see who waits for a lock
        leave.set()
        assert isinstance(leaving.exception(10), ClientGone)
        assert waiting.result(10) == "token"


def test_token_is_used_until_minutes_before_its_end(enterprise, simulators, http) -> None:
    lasting = service(simulators, enterprise.account(), expires_in=300)
    ending = service(simulators, enterprise.account(), expires_in=200)
    tokens = Tokens(http)
    for account in (lasting, ending):
        assert tokens.bearer(account)
        assert tokens.bearer(account)
    assert fetched(simulators, lasting) == 1
    assert fetched(simulators, ending) == 2


def test_token_that_has_ended_early_is_replaced_once_for_all_calls(
    enterprise: Vendor, simulators: Simulators, http: Http
) -> None:
    account = enterprise.account()
    granted = [Token("ya29.expired", 3000.0)]

    def share(key: str, fetch: Callable[[], Token], usable: Callable[[Token], bool]) -> Token:
        return granted.pop() if granted else fetch()

    url, fetcher = f"{simulators.url}/gemini-enterprise", Fetcher()
    spec = VENDORS["gemini-enterprise"]
    upstream = GeminiEnterprise(spec, http, fetcher, base_url=url, share_token=share)
    vendor = replace(enterprise, upstream=upstream)
    together = Barrier(20)

    def call(_: int) -> str:
        together.wait(10)
        return text_of(vendor.chat(chat_of(user("Hello")), account))

    with ThreadPoolExecutor(20) as pool:
        assert all(pool.map(call, range(20)))
    assert fetched(simulators, account) == 1


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
        ("broken", UpstreamOverloaded),
        ("overloaded", UpstreamOverloaded),
    ],
)
def test_refused_service_account_was_sent_nothing(enterprise, words: str, error) -> None:
    with pytest.raises(error) as caught:
        enterprise.chat(chat_of(user("Hello")), enterprise.account(words))
    assert type(caught.value) is error
    assert not caught.value.sent


@pytest.mark.parametrize("moved_s", [-3600, 3600])
def test_clock_that_is_wrong_by_an_hour_gives_way_to_the_vendors(
    enterprise, http, monkeypatch, moved_s
) -> None:
    wall = time.time
    monkeypatch.setattr(time, "time", lambda: wall() + moved_s)
    assert Tokens(http).bearer(enterprise.account())


@pytest.mark.parametrize(
    "damage",
    [
        lambda key: "{",
        lambda key: "{}",
        lambda key: json.dumps({**key, "private_key": "no key"}),
        lambda key: json.dumps({**key, "client_email": None, "private_key": None}),
    ],
)
def test_malformed_key_is_the_accounts_fault(enterprise, simulators, http, damage) -> None:
    key = json.loads(simulators.service_account("someone@example.com"))
    account = replace(ACCOUNT, secret=Secret(damage(key)))
    with pytest.raises(AccountRejected, match="malformed"):
        Tokens(http).bearer(account)


def test_token_service_that_is_away_was_sent_nothing(simulators: Simulators, http: Http) -> None:
    key = json.loads(simulators.service_account("someone@example.com"))
    key["token_uri"] = "http://127.0.0.1:1/token"
    with pytest.raises(UpstreamUnreachable) as caught:
        Tokens(http).bearer(replace(ACCOUNT, secret=Secret(json.dumps(key))))
    assert not caught.value.sent


@pytest.mark.parametrize("grant", [{}, [], {"access_token": "ya29.1", "expires_in": "soon"}])
def test_grant_without_a_token_is_refused(simulators, canned, http, grant) -> None:
    key = json.loads(simulators.service_account("someone@example.com"))
    key["token_uri"] = f"{canned.url}/token"
    canned.say(grant)
    with pytest.raises(UpstreamInvalidResponse):
        Tokens(http).bearer(replace(ACCOUNT, secret=Secret(json.dumps(key))))
