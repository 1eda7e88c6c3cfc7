"""Service accounts, the token endpoint, and bearers that are not accepted."""

from __future__ import annotations

import time

import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from google.auth import exceptions as auth_errors
from google.auth.transport.requests import Request
from google.oauth2 import service_account

from tests.support.simulators import ENGINE

SCOPE = "https://www.googleapis.com/auth/cloud-platform"


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("", "CREDENTIALS_MISSING"),
        ("Bearer AIzaKey", "ACCESS_TOKEN_TYPE_UNSUPPORTED"),
        ("Bearer ya29.expired-1", "ACCESS_TOKEN_EXPIRED"),
        ("Bearer ya29.sim.a@b.1-2-3", "INVALID_TOKEN"),
    ],
)
def test_missing_and_invalid_bearers_are_401(enterprise_url, header, reason):
    headers = {"Authorization": header} if header else {}
    answer = requests.get(f"{enterprise_url}/v1/{ENGINE}/sessions", headers=headers, timeout=20)
    assert answer.status_code == 401
    assert answer.json()["error"]["details"][0]["reason"] == reason
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_token_is_fetched_once_and_counted(account, enterprise_url, email, ledger):
    before = ledger()["tokens"]
    session = account("fine")
    for _ in range(2):
        assert session.get(f"{enterprise_url}/v1/{ENGINE}/sessions", timeout=20).status_code == 200
    seen = ledger()
    assert seen["tokens"] > before
    assert seen["operations"][f"fine-{email}"] == {
        "oauth2.token": 1,
        "gemini_enterprise.sessions.list": 2,
    }


def test_token_expires_when_its_time_is_over(account, enterprise_url):
    session = account("brief", expires_in=1)
    session.credentials.refresh(Request())
    headers = {"Authorization": f"Bearer {session.credentials.token}"}
    url = f"{enterprise_url}/v1/{ENGINE}/sessions"
    assert requests.get(url, headers=headers, timeout=20).status_code == 200
    deadline = time.monotonic() + 10
    while (answer := requests.get(url, headers=headers, timeout=20)).status_code != 401:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert answer.json()["error"]["details"][0]["reason"] == "ACCESS_TOKEN_EXPIRED"


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("denied", "Account has been disabled"),
        ("wrong", "account not found"),
        ("broken", "internal_failure"),
    ],
)
def test_token_endpoint_refuses_as_the_words_say(account, enterprise_url, word, text):
    with pytest.raises(auth_errors.RefreshError, match=text):
        account(word).get(f"{enterprise_url}/v1/{ENGINE}/sessions", timeout=20)


def test_assertion_of_an_unknown_key_is_refused(sim_url):
    info = requests.get(f"{sim_url}/_control/service-account", timeout=10).json()
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    info["private_key"] = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
    unknown = service_account.Credentials.from_service_account_info(info, scopes=[SCOPE])
    with pytest.raises(auth_errors.RefreshError, match="Invalid JWT Signature"):
        unknown.refresh(Request())


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"grant_type": "password"}, "unsupported_grant_type"),
        (
            {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": "a.b"},
            "invalid_grant",
        ),
    ],
)
def test_token_endpoint_wants_a_signed_assertion(sim_url, form, error):
    answer = requests.post(f"{sim_url}/oauth2/token", data=form, timeout=10)
    assert (answer.status_code, answer.json()["error"]) == (400, error)
