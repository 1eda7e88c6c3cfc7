"""What a caller makes a vendor say is the caller's word, and not the vendor's."""

from __future__ import annotations

from time import process_time

import pytest

from gateway.domain.accounts import Account, Secret
from gateway.domain.errors import AccountRejected, Fault, GatewayError
from tests.upstreams.conftest import Canned, Vendor, ark_error, ask
from tests.upstreams.enterprise_support import ACCOUNT, SESSION
from tests.upstreams.gemini_support import refusal

ACCOUNTS = {
    "ark": Account("ark-1", "ark", Secret("ark-secret-of-the-account")),
    "openai": Account("sk-1", "openai", Secret("sk-secret-of-the-account")),
    "gemini": Account("gemini-1", "gemini", Secret("AIza-secret-of-the-account")),
    "gemini-enterprise": ACCOUNT,
}
WORDS = (
    "API key not valid",
    "API key not valid. Please pass a valid API key.",
    "API key expired. Please renew the API key.",
    "Incorrect API key provided",
    "invalid api key",
    "User location is not supported for the API use.",
    "free tier",
    "billing",
    "limit: 0, model: x",
    "requests per day",
    "reset at 2036-01-01 00:00:00",
    "overloaded",
    "moderation",
    "API_KEY_INVALID",
)
SAYINGS = (
    """Invalid value at 'generation_config' (Modality), "{}\"""",
    "Invalid value: '{}'. Supported values are: 'auto' and 'default'.",
    "{} is not a valid value.",
    "Invalid value `x` {} `x`.",
    "Unknown name {}",
)
ECHOES = [saying.format(words) for saying in SAYINGS for words in WORDS]


FIXTURES = {
    "ark": "scripted_ark",
    "openai": "imitator",
    "gemini": "scripted_gemini",
    "gemini-enterprise": "scripted_enterprise",
}


def refused(request: pytest.FixtureRequest, name: str, said: str) -> GatewayError:
    """What it means when a vendor answers 400 with these words."""
    canned, vendor = (request.getfixturevalue(fixture) for fixture in ("canned", FIXTURES[name]))
    if name == "gemini-enterprise":
        canned.say({"name": SESSION})
        canned.say([refusal(400, said, "INVALID_ARGUMENT")])
        canned.say({})
    elif name == "gemini":
        canned.say(refusal(400, said, "FAILED_PRECONDITION"), 400)
    elif name == "ark":
        canned.say(ark_error("InvalidParameter", said), 400)
    else:
        canned.say({"error": {"message": said, "code": "invalid_value"}}, 400)
    with pytest.raises(GatewayError) as caught:
        vendor.chat(ask(vendor, stream=False), ACCOUNTS[name])
    return caught.value


@pytest.mark.parametrize("name", FIXTURES)
def test_a_value_that_a_vendor_quotes_is_not_held_against_the_account(request, name: str) -> None:
    blamed = {said: refused(request, name, said).fault for said in ECHOES}
    assert {said for said, fault in blamed.items() if fault is not Fault.CALLER} == set()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("openai", "API key not valid. Please pass a valid API key."),
        ("openai", "Invalid API key."),
        ("openai", "Incorrect API key provided"),
        (
            "openai",
            "Incorrect API key provided: xa***ai. You can obtain an API key from https://x.ai.",
        ),
        ("gemini", "API key not valid. Please pass a valid API key."),
        ("gemini", "API key expired. Please renew the API key."),
        ("gemini", "User location is not supported for the API use."),
        (
            "gemini",
            "Gemini API free tier is not available in your country. Please enable billing on your "
            "project in Google AI Studio.",
        ),
    ],
)
def test_a_vendor_that_says_nothing_else_is_believed(request, name: str, said: str) -> None:
    assert isinstance(refused(request, name, said), AccountRejected)


def test_a_quota_is_not_read_from_what_is_quoted(imitator: Vendor, canned: Canned) -> None:
    canned.say({"error": {"message": "Too many requests for model 'per day'"}}, 429)
    with pytest.raises(GatewayError) as caught:
        imitator.chat(ask(imitator, stream=False), ACCOUNTS["openai"])
    assert caught.value.fault is Fault.MINUTE_QUOTA


REPEATED = (
    *(
        "http://",
        "https://a",
        "eyJabcdefgh-",
        "eyJabcdefgh.",
        "ya29.",
        "sk-",
        "Bearer ",
        "0a1b2c3d-",
    ),
    *("model ", "token count ", "limit: 0 ", "limit for the ", "free trial ", "parameter `"),
    *("reset at ", "retry in 1", "PerDay", "does not ", "safety ", "'", "'a", '"', '\\"', "`"),
)


@pytest.mark.parametrize("name", FIXTURES)
def test_long_words_of_a_vendor_are_soon_read(request, name: str) -> None:
    before_s = process_time()
    for words in REPEATED:
        refused(request, name, words * (200_000 // len(words)))
    assert process_time() - before_s < 5


@pytest.mark.parametrize("secret", [ACCOUNTS["openai"].secret.reveal(), "AIza-of-somebody-else"])
def test_a_credential_is_struck_out_where_long_words_are_cut(request, secret: str) -> None:
    for before in range(4096 - len(secret), 4097):
        error = refused(request, "openai", "no" + " " * (before - 2) + secret + " or more" * 99)
        assert secret[:6] not in error.message
        assert "no" in error.message
