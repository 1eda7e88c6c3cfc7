"""Errors of OpenAI and its imitators: who is to blame, and what may be said of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from gateway.domain.accounts import Account, Secret
from gateway.domain.errors import (
    AccountExhausted,
    AccountQuotaExhausted,
    AccountRejected,
    Conflict,
    ContentFiltered,
    ContextLengthExceeded,
    Fault,
    GatewayError,
    InvalidRequest,
    ModelNotAvailable,
    ModelNotFound,
    ModelRejected,
    RequestBlocked,
    RequestTooLarge,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamTimeout,
)
from gateway.domain.requests import ChatRequest, Message, Text
from gateway.upstreams.errors import retry_after_s
from tests.upstreams.conftest import (
    Vendor,
    ask,
)

ACCOUNT = Account("sk-1", "openai", Secret("sk-secret-of-the-account"))


def delta(_index: int = 0, _finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"choices": [{"index": _index, "delta": fields, "finish_reason": _finish}]}


def error(message: str = "no", code: Any = None, **more: Any) -> dict[str, Any]:
    return {"error": {"message": message, "type": "invalid_request_error", "code": code, **more}}


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, error("bad temperature"), InvalidRequest),
        (400, error(code="context_length_exceeded"), ContextLengthExceeded),
        (400, error("This model's maximum context length is 8192 tokens"), ContextLengthExceeded),
        (400, error(code="content_filter"), ContentFiltered),
        (400, error(code="content_policy_violation"), ContentFiltered),
        (400, error(code="moderation_blocked"), ContentFiltered),
        (400, error("rejected by our safety system"), ContentFiltered),
        (400, error(code="billing_hard_limit_reached"), AccountQuotaExhausted),
        (400, error("API key not valid. Please pass a valid key."), AccountRejected),
        (400, error("Model Not Exist"), ModelNotFound),
        (401, error(code="invalid_api_key"), AccountRejected),
        (402, error("Insufficient Balance"), AccountQuotaExhausted),
        (403, error(code="unsupported_country_region_territory"), AccountRejected),
        (403, error("The input was flagged by moderation"), ContentFiltered),
        (
            *(403, error("Your organization must be verified to use the model `gpt-image-1`. …")),
            ModelRejected,
        ),
        (403, error("You are not allowed to sample from this model"), ModelRejected),
        (401, error("key not allowed to access model. Tried to access x"), ModelRejected),
        (403, error("You may not use 'my model'"), AccountRejected),
        (403, error("Insufficient permissions. Missing scopes: model.request."), AccountRejected),
        (403, error("Project has no access", code="model_not_found"), ModelNotAvailable),
        (404, error("The model `x` does not exist", code="model_not_found"), ModelNotFound),
        (404, {"error": "model 'x' not found"}, ModelNotFound),
        (404, {"detail": "Not Found"}, UpstreamError),
        (404, b"<html>404</html>", RequestBlocked),
        (409, error(), Conflict),
        (413, error(), RequestTooLarge),
        (422, {"detail": [{"loc": ["body"]}]}, InvalidRequest),
        (429, error(code="rate_limit_exceeded"), AccountExhausted),
        (429, error(code="insufficient_quota"), AccountQuotaExhausted),
        (429, error("Limit 200 on requests per day (RPD)"), AccountQuotaExhausted),
        (429, error("The engine is currently overloaded"), UpstreamOverloaded),
        (408, error(), UpstreamTimeout),
        (500, error("we erred"), UpstreamError),
        (500, error("The server is overloaded"), UpstreamOverloaded),
        (502, b"<html>bad gateway</html>", UpstreamError),
        (503, b"", UpstreamOverloaded),
        (504, b"", UpstreamTimeout),
        (529, error(), UpstreamOverloaded),
        (302, b"", UpstreamError),
    ],
)
def test_vendor_error_becomes_the_gateways(imitator, canned, status, body, kind) -> None:
    canned.say(body, status)
    with pytest.raises(GatewayError) as caught:
        imitator.chat(ask(imitator, stream=False), ACCOUNT)
    assert type(caught.value) is kind
    assert caught.value.sent == (status < 400 or status == 408 or status >= 500)


@pytest.mark.parametrize(
    ("status", "message", "told"),
    [
        (401, "key not allowed to access model. Tried to access x", 403),
        (403, "You are not allowed to sample from this model", 403),
        (403, "Insufficient permissions. Missing scopes: model.request.", 403),
        (401, "Incorrect API key provided.", 401),
    ],
)
def test_a_model_that_an_own_credential_is_denied_makes_it_no_wrong_key(
    imitator, canned, status, message, told
) -> None:
    canned.say(error(message), status)
    with pytest.raises(GatewayError) as caught:
        imitator.chat(ask(imitator, stream=False), replace(ACCOUNT, own=True))
    assert caught.value.status == told


def test_callers_fault_is_told_in_the_vendors_words(imitator, canned) -> None:
    body = error("temperature must be below 2", param="temperature")
    canned.say(body, 400, x_request_id="req_123")
    with pytest.raises(InvalidRequest) as caught:
        imitator.chat(ask(imitator, stream=False), ACCOUNT)
    assert "temperature must be below 2" in caught.value.message
    assert "req_123" in caught.value.message
    assert caught.value.param == "temperature"
    assert caught.value.fault is Fault.CALLER


@pytest.mark.parametrize("status", [401, 402, 403, 429, 500, 503])
def test_other_faults_are_told_in_general_words(imitator, canned, status: int) -> None:
    canned.say(error("the organisation org-x of ann@example.com"), status)
    with pytest.raises(GatewayError) as caught:
        imitator.chat(ask(imitator, stream=False), ACCOUNT)
    assert "ann" not in caught.value.message


@pytest.mark.parametrize(
    "secret",
    [
        "sk-secret-of-the-account",
        "sk-proj-Abc123_x",
        "ark-11111111-2222-3333-4444-555555555555-abcde",
        "AIzaSyA0123456789",
        "AQ.Ab8RN6Lxyz",
        "ya29.a0AfB_x-y",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.s-g",
        "11111111-2222-3333-4444-555555555555",
        "Bearer abcdefgh",
        "gw-abcdefgh",
    ],
)
def test_credentials_in_a_vendors_words_are_struck_out(imitator, canned, secret: str) -> None:
    canned.say(error(f"bad value near '{secret}' in https://x.example/p?key=12&a=b"), 400)
    with pytest.raises(InvalidRequest) as caught:
        imitator.chat(ask(imitator, stream=False), ACCOUNT)
    assert secret.removeprefix("Bearer ") not in caught.value.message
    assert "https://x.example/p" in caught.value.message
    assert "key=12" not in caught.value.message


def test_endless_words_are_cut(imitator, canned) -> None:
    canned.say(error("long " * 10_000), 400)
    with pytest.raises(InvalidRequest) as caught:
        imitator.chat(ask(imitator, stream=False), ACCOUNT)
    assert len(caught.value.message) < 1000


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry_after": "20"}, 20),
        ({"retry_after": "1.5"}, 1.5),
        ({"retry_after": "99999"}, 3600),
        ({"retry_after_ms": "300", "retry_after": "20"}, 0.3),
        ({"retry_after": "-5"}, None),
        ({"retry_after": "0"}, None),
        ({"retry_after": "soon"}, None),
        ({"retry_after": "Sun, 06 Nov 1994 08:49:37 GMT"}, None),
        ({"retry_after": "Sun, 06 Nov 1994 08:49:37"}, None),
        ({}, None),
    ],
)
def test_wait_that_the_vendor_asks_for_is_kept(imitator, canned, headers, seconds) -> None:
    canned.say(error(), 429, **headers)
    with pytest.raises(AccountExhausted) as caught:
        imitator.chat(ask(imitator, stream=False), ACCOUNT)
    assert caught.value.retry_after == seconds


def test_wait_until_a_date_is_kept(imitator, canned) -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    canned.say(error(), 429, retry_after=soon)
    with pytest.raises(AccountExhausted) as caught:
        imitator.chat(ask(imitator, stream=False), ACCOUNT)
    assert 50 < caught.value.retry_after <= 100


def test_wait_until_a_date_is_counted_by_the_vendors_clock() -> None:
    said = {"retry-after": "Sun, 06 Nov 1994 08:50:37 GMT", "date": "Sun, 06 Nov 1994 08:49:37 GMT"}
    assert retry_after_s(said) == 60


def test_unknown_model_is_not_found(openai: Vendor) -> None:
    request = ChatRequest("unknown-model", (Message("user", (Text("Hi"),)),))
    with pytest.raises(ModelNotFound):
        openai.chat(request, openai.account())


@pytest.mark.parametrize("status", [400, 503, 200])
def test_the_host_of_a_private_server_is_told_to_nobody(imitator, canned, status: int) -> None:
    address = canned.url.removeprefix("http://")
    canned.say(error(f"upstream {canned.url}/v1 ({address}) said no"), status)
    with pytest.raises(GatewayError) as caught:
        imitator.chat(ask(imitator, stream=False), ACCOUNT)
    assert "127.0.0.1" not in caught.value.message
    assert str(canned.server.server_port) not in caught.value.message
