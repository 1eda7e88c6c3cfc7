"""Ark's dialect of chat, its table of errors, and what the adapter is for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
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
    ModelQuotaExhausted,
    ModelRejected,
    RequestBlocked,
    UpstreamError,
    UpstreamOverloaded,
)
from gateway.domain.events import ReasoningDelta
from gateway.domain.requests import ChatRequest, Message, ReasoningBlock, Text
from tests.upstreams.conftest import (
    CONTEXT,
    Vendor,
    a_png,
    an_mp4,
    ark_error,
    ask,
    flat,
    media,
    text_of,
)

ACCOUNT = Account("ark-1", "ark", Secret("ark-secret-of-the-account"))
SEEDREAM_4 = "doubao-seedream-4-0-250828"
PRO = "doubao-seedance-1-0-pro-250528"


# Chat.


@pytest.mark.parametrize(
    ("given", "sent", "dropped"),
    [
        ({"temperature": 1.5, "n": 2}, {"temperature": 1.5, "n": 2}, []),
        (
            {"max_tokens": 9, "max_completion_tokens": 8},
            {"max_completion_tokens": 8},
            ["max_tokens"],
        ),
        ({"stop": list("abcd")}, {"stop": list("abcd")}, []),
        ({"stop": list("abcde")}, {}, ["stop"]),
        ({"service_tier": "flex"}, {"service_tier": "flex"}, []),
        ({"service_tier": "priority"}, {}, ["service_tier"]),
        ({"seed": 1, "top_k": 2, "metadata": {}}, {}, ["metadata", "seed", "top_k"]),
        ({"reasoning_effort": "high"}, {"reasoning_effort": "high"}, []),
        ({"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}, []),
        ({"enable_thinking": True}, {"thinking": {"type": "enabled"}}, []),
        (
            {"enable_thinking": False, "thinking": {"type": "auto"}},
            {"thinking": {"type": "auto"}},
            ["enable_thinking"],
        ),
        (
            {"thinking": {"type": "disabled"}, "reasoning_effort": "high"},
            {"thinking": {"type": "disabled"}},
            ["reasoning_effort"],
        ),
        (
            {"thinking": {"type": "disabled"}, "reasoning_effort": "minimal"},
            {"thinking": {"type": "disabled"}, "reasoning_effort": "minimal"},
            [],
        ),
    ],
)
def test_parameters_are_fitted_to_ark(ark: Vendor, given: Any, sent: Any, dropped: Any) -> None:
    request = ask(ark, stream=False, **given)
    [call] = ark.upstream.plan_chat(request, ACCOUNT)
    rest = {k: v for k, v in call.body.items() if k not in ("model", "messages")}
    assert rest == sent
    assert list(ark.upstream.dropped(request)) == dropped
    assert text_of(ark.chat(request, ark.account()))


@pytest.mark.parametrize(
    ("model", "kept"),
    [
        ("doubao-seed-1-6-251015", True),
        ("doubao-1-5-pro-32k-250115", True),
        ("doubao-seed-1-8-251228", False),
        ("doubao-seed-2-0-pro-260215", False),
        ("ep-20260101", True),
    ],
)
def test_penalties_are_sent_to_models_that_have_them(ark, model: str, kept: bool) -> None:
    request = ChatRequest(
        model, (Message("user", (Text("Hi"),)),), {"presence_penalty": 0, "frequency_penalty": 1}
    )
    [call] = ark.upstream.plan_chat(request, ACCOUNT)
    assert ("presence_penalty" in call.body) is kept
    assert (not list(ark.upstream.dropped(request))) is kept


@pytest.mark.parametrize(
    ("detail", "sent"),
    [("low", "low"), ("high", "high"), ("original", "xhigh"), ("auto", None), (None, None)],
)
def test_image_detail_is_one_that_ark_knows(ark, detail: str | None, sent: str | None) -> None:
    request = ChatRequest("ep-1", (Message("user", (a_png(detail=detail),)),))
    [call] = ark.upstream.plan_chat(request, ACCOUNT)
    [part] = call.body["messages"][0]["content"]
    assert part["image_url"].get("detail") == sent


def test_pictures_and_videos_sent_as_files_arrive(ark: Vendor) -> None:
    parts = (a_png(33, 22, filename="a.png"), an_mp4(), Text("Look"))
    request = ChatRequest(ark.model(), (Message("user", parts),))
    text = text_of(ark.chat(request, ark.account()))
    assert "image/png 33x22" in text
    assert "video/mp4" in text


def test_other_files_are_refused_by_name(ark: Vendor) -> None:
    parts = (Text("Read"), media(b"%PDF-1.7", "application/pdf"))
    messages = (Message("system", (Text("Be brief"),)), Message("user", parts))
    with pytest.raises(InvalidRequest) as caught:
        ark.chat(ChatRequest(ark.model(), messages), ark.account())
    assert caught.value.param == "messages[1].content[1]"
    assert "application/pdf" in caught.value.message


def test_thoughts_go_out_and_come_back(ark: Vendor) -> None:
    messages = (
        Message("user", (Text("Hi"),)),
        Message("assistant", (Text("Hello"),), reasoning=(ReasoningBlock("A greeting."),)),
        Message("user", (Text("And?"),)),
    )
    account = ark.account()
    events = flat(ark.chat(ChatRequest(ark.model(), messages, stream=True), account))
    assert any(isinstance(event, ReasoningDelta) for event in events)
    assert ark.seen(account)[0]["body"]["messages"][1]["reasoning_content"] == "A greeting."


def test_request_id_goes_along(ark: Vendor) -> None:
    account = ark.account()
    ark.chat(ask(ark), account)
    assert ark.seen(account)[0]["headers"]["x-client-request-id"] == CONTEXT.request_id


# Errors, row by row.


@pytest.mark.parametrize(
    ("status", "code", "message", "kind"),
    [
        (400, "MissingParameter", "", InvalidRequest),
        (400, "InvalidParameter.UnsupportedParameter", "", InvalidRequest),
        (400, "InvalidArgumentError.UnknownRole", "", InvalidRequest),
        (400, "InvalidImageURL.InvalidFormat", "", InvalidRequest),
        (400, "OutofContextError", "", ContextLengthExceeded),
        (400, "InvalidParameter", "Total tokens exceed max message tokens", ContextLengthExceeded),
        (400, "InvalidEndpoint.ClosedEndpoint", "", UpstreamOverloaded),
        (400, "SensitiveContentDetected.Violence", "", ContentFiltered),
        (400, "InputImageSensitiveContentDetected.PrivacyInformation", "", ContentFiltered),
        (400, "OutputVideoSensitiveContentDetected", "", ContentFiltered),
        (400, "InputTextRiskDetection", "", ContentFiltered),
        (400, "ContentSecurityDetectionError", "", ContentFiltered),
        (400, "InvalidSubscription", "", AccountRejected),
        (401, "AuthenticationError", "", AccountRejected),
        (401, "InvalidAccountStatus", "", AccountRejected),
        (403, "AccountOverdueError", "", AccountRejected),
        (403, "AccessDenied", "", ModelRejected),
        (403, "OperationDenied.ServiceNotOpen", "", ModelRejected),
        (403, "OperationDenied.PermissionDenied", "", ModelRejected),
        (403, "OperationDenied.ServiceOverdue", "", AccountRejected),
        (403, "OperationDenied.InvalidState", "", Conflict),
        (404, "InvalidEndpointOrModel.NotFound", "", ModelNotFound),
        (404, "InvalidEndpointOrModel.ModelIDAccessDisabled", "", ModelNotAvailable),
        (404, "ModelNotOpen", "", ModelNotAvailable),
        (404, "UnsupportedModel", "", ModelNotFound),
        (409, "InvalidAction.RunningTaskDeletion", "", Conflict),
        (429, "RateLimitExceeded.EndpointRPMExceeded", "", AccountExhausted),
        (429, "ModelAccountTpmRateLimitExceeded", "", AccountExhausted),
        (429, "AccountRateLimitExceeded", "", AccountExhausted),
        (429, "RequestBurstTooFast", "", AccountExhausted),
        (429, "InflightBatchsizeExceeded", "", AccountExhausted),
        (429, "ServerOverloaded", "", UpstreamOverloaded),
        (429, "QuotaExceeded", "The request has exceeded the quota", AccountExhausted),
        (429, "QuotaExceeded", "The free trial quota is used up", AccountQuotaExhausted),
        (429, "SetLimitExceeded", "", AccountQuotaExhausted),
        (
            *(429, "SetLimitExceeded"),
            "Your account [1] has reached the set inference limit for the [m] model, and …",
            ModelQuotaExhausted,
        ),
        (
            429,
            "QuotaExceeded",
            "Your free trial quota for the m model is exhausted.",
            ModelQuotaExhausted,
        ),
        (500, "InternalServiceError", "", UpstreamError),
    ],
)
def test_vendor_code_becomes_the_gateways_error(scripted_ark, canned, status, code, message, kind):
    canned.say(ark_error(code, message), status)
    with pytest.raises(GatewayError) as caught:
        scripted_ark.chat(ask(scripted_ark, stream=False), ACCOUNT)
    assert type(caught.value) is kind
    assert caught.value.sent == (status >= 500)


def test_unknown_path_says_nothing_of_the_account_or_the_model(open_vendor) -> None:
    simulators = open_vendor("ark").simulators
    vendor = open_vendor("ark", base_url=f"{simulators.url}/ark/api/v2")
    with pytest.raises(RequestBlocked) as caught:
        vendor.chat(ask(vendor), vendor.account())
    assert caught.value.fault is Fault.CALLER


def test_unknown_model_is_not_found(ark: Vendor) -> None:
    request = ChatRequest("doubao-nonsense", (Message("user", (Text("Hi"),)),))
    with pytest.raises(ModelNotFound):
        ark.chat(request, ark.account())


def test_plan_quota_rests_until_it_is_reset(scripted_ark, canned) -> None:
    moment = datetime.now(UTC) + timedelta(hours=5)
    text = f"5-hour quota exceeded. It will reset at {moment:%Y-%m-%d %H:%M:%S} +0000 UTC."
    canned.say(ark_error("QuotaExceeded", text), 429)
    with pytest.raises(AccountQuotaExhausted) as caught:
        scripted_ark.chat(ask(scripted_ark), ACCOUNT)
    assert 4 * 3600 < caught.value.retry_after <= 5 * 3600


def test_reset_that_cannot_be_read_is_left_open(scripted_ark, canned) -> None:
    canned.say(ark_error("QuotaExceeded", "It will reset at 2026-99-99 10:00:00"), 429)
    with pytest.raises(AccountQuotaExhausted) as caught:
        scripted_ark.chat(ask(scripted_ark), ACCOUNT)
    assert caught.value.retry_after is None


def test_request_id_is_told_once(ark: Vendor) -> None:
    request = ask(ark, temperature=9)
    with pytest.raises(InvalidRequest) as caught:
        ark.chat(request, ark.account())
    assert caught.value.message.lower().count("request id") == 1
    assert caught.value.param == "temperature"


def test_parameter_is_named_as_the_message_names_it(scripted_ark, canned) -> None:
    text = "The parameter `stop[0]` specified in the request is not valid."
    canned.say(ark_error("InvalidParameter", text), 400)
    with pytest.raises(InvalidRequest) as caught:
        scripted_ark.chat(ask(scripted_ark), ACCOUNT)
    assert caught.value.param == "stop[0]"


# What it is for.


@pytest.mark.parametrize(
    ("credential", "taken"),
    [
        ("ark-11111111-2222-3333-4444-555555555555-abcde", True),
        ("11111111-2222-3333-4444-555555555555", True),
        ("opaque", True),
        ("", False),
        ("sk-proj-x", False),
        ("AIzaSyA", False),
        ("AQ.Ab8", False),
        ("ya29.a0", False),
        ("eyJhbGciOi.x.y", False),
    ],
)
def test_credentials_of_other_vendors_are_left_to_them(ark, credential: str, taken: bool) -> None:
    assert ark.upstream.takes(credential) is taken


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        (SEEDREAM_4, "image"),
        (PRO, "video"),
        ("doubao-seed-1-6-251015", "chat"),
        ("doubao-seedance-9-0-mega-300101", "video"),
        ("ep-20260101-abcde", "chat"),
    ],
)
def test_model_name_tells_what_it_makes(ark: Vendor, model: str, kind: str) -> None:
    assert ark.upstream.kind_of(model) == kind
