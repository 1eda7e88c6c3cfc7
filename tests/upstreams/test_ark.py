"""Ark's dialect: chat, Seedream's sizes, Seedance's tasks, and its table of errors."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from gateway.domain.accounts import Account, Secret
from gateway.domain.errors import (
    AccountExhausted,
    AccountRejected,
    AccountSpent,
    Conflict,
    ContentFiltered,
    ContextLengthExceeded,
    Fault,
    GatewayError,
    InvalidRequest,
    JobFailed,
    ModelNotFound,
    UpstreamError,
    UpstreamInvalidResponse,
    UpstreamOverloaded,
)
from gateway.domain.events import Event, Finish, MediaReady, Progress, ReasoningDelta, Usage
from gateway.domain.requests import ChatRequest, ImageRequest, Message, Text, VideoRequest
from tests.upstreams.conftest import (
    CONTEXT,
    Canned,
    Vendor,
    a_jpeg,
    a_png,
    an_mp4,
    ask,
    media,
    text_of,
)

ACCOUNT = Account("ark-1", "ark", Secret("ark-secret-of-the-account"))
SEEDREAM_3 = "doubao-seedream-3-0-t2i-250415"
SEEDREAM_4 = "doubao-seedream-4-0-250828"
SEEDREAM_4_5 = "doubao-seedream-4-5-251128"
SEEDREAM_5 = "doubao-seedream-5-0-lite-260128"
SEEDREAM_5_PRO = "doubao-seedream-5-0-pro-260628"
SEEDREAM_6 = "doubao-seedream-6-0-270101"
LITE_T2V = "doubao-seedance-1-0-lite-t2v-250428"
LITE_I2V = "doubao-seedance-1-0-lite-i2v-250428"
PRO_FAST = "doubao-seedance-1-0-pro-fast-251015"
PRO = "doubao-seedance-1-0-pro-250528"
SEEDANCE_1_5 = "doubao-seedance-1-5-pro-251215"
SEEDANCE_2 = "doubao-seedance-2-0-260128"
SEEDANCE_2_FAST = "doubao-seedance-2-0-fast-260128"
SEEDANCE_2_5 = "doubao-seedance-2-5-260628"


@pytest.fixture
def ark(open_vendor: Callable[..., Vendor]) -> Vendor:
    return open_vendor("ark")


@pytest.fixture
def scripted(open_vendor: Callable[..., Vendor], canned: Canned) -> Vendor:
    return open_vendor("ark", base_url=canned.url)


def flat(batches: list[list[Event]]) -> list[Event]:
    return [event for batch in batches for event in batch]


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
        Message("assistant", (Text("Hello"),), reasoning="A greeting."),
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


def error(code: str, message: str = "no. Request id: 02abc") -> dict[str, Any]:
    return {"error": {"code": code, "message": message, "param": "", "type": ""}}


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
        (403, "AccessDenied", "", AccountRejected),
        (403, "OperationDenied.ServiceNotOpen", "", AccountRejected),
        (403, "OperationDenied.InvalidState", "", Conflict),
        (404, "InvalidEndpointOrModel.NotFound", "", ModelNotFound),
        (404, "InvalidEndpointOrModel.ModelIDAccessDisabled", "", ModelNotFound),
        (404, "ModelNotOpen", "", ModelNotFound),
        (404, "UnsupportedModel", "", ModelNotFound),
        (409, "InvalidAction.RunningTaskDeletion", "", Conflict),
        (429, "RateLimitExceeded.EndpointRPMExceeded", "", AccountExhausted),
        (429, "ModelAccountTpmRateLimitExceeded", "", AccountExhausted),
        (429, "AccountRateLimitExceeded", "", AccountExhausted),
        (429, "RequestBurstTooFast", "", AccountExhausted),
        (429, "InflightBatchsizeExceeded", "", AccountExhausted),
        (429, "ServerOverloaded", "", UpstreamOverloaded),
        (429, "QuotaExceeded", "The request has exceeded the quota", AccountExhausted),
        (429, "QuotaExceeded", "The free trial quota is used up", AccountSpent),
        (429, "SetLimitExceeded", "", AccountSpent),
        (500, "InternalServiceError", "", UpstreamError),
    ],
)
def test_vendor_code_becomes_the_gateways_error(scripted, canned, status, code, message, kind):
    canned.say(error(code, message), status)
    with pytest.raises(GatewayError) as caught:
        scripted.chat(ask(scripted, stream=False), ACCOUNT)
    assert type(caught.value) is kind
    assert caught.value.sent == (status >= 500)


def test_unknown_path_is_a_wrong_base_url_and_not_a_wrong_model(open_vendor) -> None:
    simulators = open_vendor("ark").simulators
    vendor = open_vendor("ark", base_url=f"{simulators.url}/ark/api/v2")
    with pytest.raises(UpstreamError) as caught:
        vendor.chat(ask(vendor), vendor.account())
    assert caught.value.fault is Fault.VENDOR


def test_unknown_model_is_not_found(ark: Vendor) -> None:
    request = ChatRequest("doubao-nonsense", (Message("user", (Text("Hi"),)),))
    with pytest.raises(ModelNotFound):
        ark.chat(request, ark.account())


def test_plan_quota_rests_until_it_is_reset(scripted, canned) -> None:
    moment = datetime.now(UTC) + timedelta(hours=5)
    text = f"5-hour quota exceeded. It will reset at {moment:%Y-%m-%d %H:%M:%S} +0000 UTC."
    canned.say(error("QuotaExceeded", text), 429)
    with pytest.raises(AccountSpent) as caught:
        scripted.chat(ask(scripted), ACCOUNT)
    assert 4 * 3600 < caught.value.retry_after <= 5 * 3600


def test_reset_that_cannot_be_read_is_left_open(scripted, canned) -> None:
    canned.say(error("QuotaExceeded", "It will reset at 2026-99-99 10:00:00"), 429)
    with pytest.raises(AccountSpent) as caught:
        scripted.chat(ask(scripted), ACCOUNT)
    assert caught.value.retry_after is None


def test_request_id_is_told_once(ark: Vendor) -> None:
    request = ask(ark, temperature=9)
    with pytest.raises(InvalidRequest) as caught:
        ark.chat(request, ark.account())
    assert caught.value.message.lower().count("request id") == 1
    assert caught.value.param == "temperature"


def test_parameter_is_named_as_the_message_names_it(scripted, canned) -> None:
    text = "The parameter `stop[0]` specified in the request is not valid."
    canned.say(error("InvalidParameter", text), 400)
    with pytest.raises(InvalidRequest) as caught:
        scripted.chat(ask(scripted), ACCOUNT)
    assert caught.value.param == "stop[0]"


# Pictures.


@pytest.mark.parametrize(
    ("model", "wanted", "size"),
    [
        (SEEDREAM_4, {"size": "1024x1024"}, "1024x1024"),
        (SEEDREAM_4, {"size": "512x512"}, "960x960"),
        (SEEDREAM_4, {"size": "256*256"}, "960x960"),
        (SEEDREAM_4, {"size": "8000x4000"}, "5792x2896"),
        (SEEDREAM_4, {"size": "auto"}, None),
        (SEEDREAM_4, {}, None),
        (SEEDREAM_4, {"size": "1K"}, "1K"),
        (SEEDREAM_4, {"size": "3k"}, "2K"),
        (SEEDREAM_4, {"ratio": "1:1"}, "2048x2048"),
        (SEEDREAM_4, {"ratio": "4:3"}, "2304x1728"),
        (SEEDREAM_4, {"ratio": "16:9"}, "2560x1440"),
        (SEEDREAM_4, {"ratio": "9:16"}, "1440x2560"),
        (SEEDREAM_4, {"ratio": "3:2"}, "2496x1664"),
        (SEEDREAM_4, {"ratio": "21:9"}, "3024x1296"),
        (SEEDREAM_4, {"ratio": "16:9", "size": "1K"}, "1280x720"),
        (SEEDREAM_4, {"ratio": "16:9", "size": "4K"}, "5376x3024"),
        (SEEDREAM_4, {"ratio": "16:9", "size": "1536x1024"}, "1536x1024"),
        (SEEDREAM_4_5, {"size": "1024x1024"}, "1920x1920"),
        (SEEDREAM_4_5, {"size": "1536x1024"}, "2352x1568"),
        (SEEDREAM_4_5, {"size": "1K"}, "2K"),
        (SEEDREAM_4_5, {"ratio": "1:1", "size": "1K"}, "1920x1920"),
        (SEEDREAM_4_5, {"ratio": "21:9"}, "3024x1296"),
        (SEEDREAM_5, {"size": "1024x1024"}, "1920x1920"),
        (SEEDREAM_5, {"size": "1K"}, "2K"),
        (SEEDREAM_5_PRO, {"size": "4K"}, "2K"),
        (SEEDREAM_5_PRO, {"size": "4K", "ratio": "1:1"}, "2144x2144"),
        (SEEDREAM_5_PRO, {"ratio": "16:9"}, "2560x1440"),
        (SEEDREAM_3, {"size": "1024x1024"}, "1024x1024"),
        (SEEDREAM_3, {"size": "4K"}, "2048x2048"),
        (SEEDREAM_3, {"size": "256x256"}, "512x512"),
        (SEEDREAM_6, {"ratio": "16:9"}, "2560x1440"),
        (SEEDREAM_6, {"size": "1024x1024"}, "1024x1024"),
        ("ep-20260101", {"ratio": "1:1"}, "2048x2048"),
    ],
)
def test_size_is_one_that_the_model_takes(ark, model: str, wanted: Any, size: str | None) -> None:
    [call] = ark.upstream.plan_image(ImageRequest(model, "a fox", **wanted), ACCOUNT)
    assert call.body.get("size") == size


@pytest.mark.parametrize(
    "model", [SEEDREAM_3, SEEDREAM_4, SEEDREAM_4_5, SEEDREAM_5, SEEDREAM_5_PRO]
)
@pytest.mark.parametrize(
    "wanted",
    [
        {"size": "1x1"},
        {"size": "333x777"},
        {"size": "9999x9999"},
        {"size": "16x1"},
        {"ratio": "1:16"},
        {"ratio": "21:9", "size": "4K"},
        {"ratio": "7:5"},
        {"ratio": "97:89"},
        {"ratio": "991:997"},
        {"size": "2k"},
        {"size": "auto"},
    ],
    ids=str,
)
def test_whatever_size_is_asked_for_the_vendor_takes_what_is_sent(ark, model, wanted) -> None:
    request = ImageRequest(model, "a fox", **wanted)
    account = ark.account("truncated")  # its 200 is cut short: only the check counts here
    with pytest.raises(UpstreamInvalidResponse):
        list(ark.upstream.image(request, account, CONTEXT))
    assert ark.seen(account)[0]["status"] == 200


@pytest.mark.parametrize(
    ("wanted", "param"),
    [
        ({"size": "3400x200"}, "size"),
        ({"size": "huge"}, "size"),
        ({"ratio": "17:1"}, "ratio"),
        ({"ratio": "wide"}, "ratio"),
        ({"ratio": "0:1"}, "ratio"),
        ({"mask": a_png()}, "mask"),
        ({"images": (a_png(),) * 15}, "image"),
    ],
)
def test_picture_that_cannot_be_made_is_refused_at_once(ark, wanted: Any, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        ark.upstream.plan_image(ImageRequest(SEEDREAM_4, "a fox", **wanted), ACCOUNT)
    assert caught.value.param == param


def test_picture_request_says_what_ark_would_otherwise_decide(ark: Vendor) -> None:
    request = ImageRequest(
        SEEDREAM_4, "a fox", images=(a_png(), a_jpeg()), seed=5, output_format="png", n=2
    )
    first, second = ark.upstream.plan_image(request, ACCOUNT)
    assert first.body["watermark"] is False
    assert first.body["response_format"] == "url"
    assert [text[:7] for text in first.body["image"]] == ["<base64"] * 2
    assert not {"seed", "output_format", "n"} & first.body.keys()
    assert first == second


def test_older_model_gets_a_seed_of_its_own_for_each_picture(ark: Vendor) -> None:
    request = ImageRequest(SEEDREAM_3, "a fox", seed=5, n=2)
    assert [call.body["seed"] for call in ark.upstream.plan_image(request, ACCOUNT)] == [5, 6]


def test_newest_models_choose_format_and_background(ark: Vendor) -> None:
    request = ImageRequest(SEEDREAM_5_PRO, "a fox", output_format="png", background="transparent")
    [call] = ark.upstream.plan_image(request, ACCOUNT)
    assert (call.body["output_format"], call.body["background"]) == ("png", "transparent")
    [call] = ark.upstream.plan_image(ImageRequest(SEEDREAM_5, "a", output_format="webp"), ACCOUNT)
    assert "output_format" not in call.body


def test_each_of_several_pictures_is_handed_on_when_it_is_ready(ark: Vendor) -> None:
    account = ark.account()
    request = ImageRequest(SEEDREAM_4, "a fox", n=3, size="1280x720", watermark=True)
    batches = ark.upstream.image(request, account, CONTEXT)
    ready = next(batches)[0]
    assert isinstance(ready, MediaReady)
    assert ark.simulators.calls(ark.credential(account)) == 1
    with ready.source.open() as chunks:
        assert Image.open(BytesIO(b"".join(chunks))).size == (1280, 720)
    rest = list(batches)
    assert [type(event) for event in flat(rest)] == [MediaReady, MediaReady, Usage, Finish]
    assert rest[-1] == [Usage(completion_tokens=3 * 3600, images=3), Finish("stop")]
    ledger = ark.simulators.ledger(requests_too=False)
    assert ledger["max_in_flight"][ark.credential(account)] == 1


def test_pictures_already_made_are_not_lost_with_a_later_one(scripted, canned) -> None:
    picture = {"data": [{"url": "https://x.example/1.jpeg"}], "usage": {"output_tokens": 5}}
    blocked = error("OutputImageSensitiveContentDetected")
    canned.say(picture)
    canned.say(blocked, 400)
    canned.say(picture)
    canned.say(error("InternalServiceError"), 500)
    request = ImageRequest(SEEDREAM_4, "a fox", n=9)
    events = flat(list(scripted.upstream.image(request, ACCOUNT, CONTEXT)))
    assert [type(event) for event in events] == [MediaReady, MediaReady, Progress, Usage, Finish]
    assert events[-2] == Usage(completion_tokens=10, images=2)


def drawn(ark: Vendor, words: str) -> None:
    request = ImageRequest(SEEDREAM_4, "a fox", size="1280x720")
    for batch in ark.upstream.image(request, ark.account(words), CONTEXT):
        for event in batch:
            if isinstance(event, MediaReady):
                with event.source.open() as chunks:
                    list(chunks)


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("failed", UpstreamError),
        ("gone", UpstreamError),
        ("html", UpstreamInvalidResponse),
        ("filtered", ContentFiltered),
    ],
)
def test_picture_that_fails_is_an_error(ark: Vendor, word: str, kind: type[GatewayError]) -> None:
    with pytest.raises(kind):
        drawn(ark, word)


def test_reason_given_in_place_of_a_picture_is_heard(scripted, canned) -> None:
    canned.say({"data": [error("OutputImageSensitiveContentDetected")]})
    with pytest.raises(ContentFiltered) as caught:
        list(scripted.upstream.image(ImageRequest(SEEDREAM_4, "a fox"), ACCOUNT, CONTEXT))
    assert caught.value.sent


@pytest.mark.parametrize("body", [{}, {"data": []}, [], {"data": [{}]}])
def test_answer_without_a_picture_is_refused(scripted, canned, body: Any) -> None:
    canned.say(body)
    with pytest.raises(UpstreamInvalidResponse):
        list(scripted.upstream.image(ImageRequest(SEEDREAM_4, "a fox"), ACCOUNT, CONTEXT))


# Videos.


def plan(ark: Vendor, model: str, **options: Any) -> dict[str, Any]:
    [call] = ark.upstream.plan_video(VideoRequest(model, "waves", **options), ACCOUNT)
    return call.body


def test_video_request_has_fields_and_no_flags(ark: Vendor) -> None:
    body = plan(
        ark,
        SEEDANCE_1_5,
        ratio="21:9",
        duration=8.0,
        resolution="1080P",
        seed=3,
        watermark=True,
        audio=False,
    )
    assert body == {
        "model": SEEDANCE_1_5,
        "content": [{"type": "text", "text": "waves"}],
        "ratio": "21:9",
        "duration": 8,
        "resolution": "1080p",
        "seed": 3,
        "watermark": True,
        "generate_audio": False,
        "return_last_frame": True,
    }


def test_what_is_left_open_is_left_to_the_model(ark: Vendor) -> None:
    body = plan(ark, PRO, audio=True)
    assert body == {
        "model": PRO,
        "content": [{"type": "text", "text": "waves"}],
        "ratio": "16:9",
        "watermark": False,
        "return_last_frame": True,
    }


def test_frames_have_their_roles(ark: Vendor) -> None:
    body = plan(ark, PRO, images=(a_png(400, 300), a_png(300, 400)))
    assert [item.get("role") for item in body["content"]] == [None, "first_frame", "last_frame"]
    assert body["ratio"] == "adaptive"


@pytest.mark.parametrize(
    ("model", "options", "ratio"),
    [
        (PRO, {"ratio": "9:16", "images": (a_png(),)}, "9:16"),
        (PRO, {"size": "1280x720"}, "16:9"),
        (PRO, {"size": "720x1280", "ratio": "16:9"}, "9:16"),
        (PRO, {"size": "1792x1024"}, "16:9"),
        (SEEDANCE_2, {"ratio": "adaptive"}, "adaptive"),
        (SEEDANCE_2_5, {"ratio": "16:9"}, "16:9"),
        (SEEDANCE_2_5, {"ratio": "16:9", "images": (a_png(),)}, "adaptive"),
    ],
)
def test_ratio_is_one_that_the_model_takes(ark, model: str, options: Any, ratio: str) -> None:
    assert plan(ark, model, **options)["ratio"] == ratio


@pytest.mark.parametrize(
    ("model", "options", "resolution"),
    [
        (PRO, {"size": "1280x720"}, "720p"),
        (PRO, {"size": "1792x1024"}, "1080p"),
        (PRO, {"size": "3840x2160"}, "1080p"),
        (SEEDANCE_2, {"size": "3840x2160"}, "4k"),
        (SEEDANCE_2, {"resolution": "4K", "size": "1280x720"}, "4k"),
        (SEEDANCE_2_FAST, {"size": "1080x1920"}, "720p"),
        ("ep-1", {"resolution": "1080p"}, "1080p"),
    ],
)
def test_resolution_is_one_that_the_model_takes(ark, model, options, resolution) -> None:
    assert plan(ark, model, **options)["resolution"] == resolution


@pytest.mark.parametrize(
    ("model", "options", "param"),
    [
        (PRO, {"ratio": "5:4"}, "ratio"),
        (PRO, {"resolution": "4k"}, "resolution"),
        (SEEDANCE_2_FAST, {"resolution": "1080p"}, "resolution"),
        (PRO, {"duration": 13}, "duration"),
        (PRO, {"duration": 1}, "duration"),
        (PRO, {"duration": 4.5}, "duration"),
        (PRO, {"duration": -1}, "duration"),
        (SEEDANCE_1_5, {"duration": 3}, "duration"),
        (SEEDANCE_2, {"duration": 16}, "duration"),
        (SEEDANCE_2_5, {"duration": 31}, "duration"),
        (LITE_T2V, {"images": (a_png(),)}, "image"),
        (LITE_I2V, {}, "image"),
        (PRO_FAST, {"images": (a_png(), a_png())}, "image"),
        (PRO, {"images": (a_png(),) * 3}, "image"),
    ],
)
def test_video_that_cannot_be_made_is_refused_at_once(ark, model, options, param) -> None:
    with pytest.raises(InvalidRequest) as caught:
        plan(ark, model, **{"duration": None, **options})
    assert caught.value.param == param


@pytest.mark.parametrize(
    ("model", "options"),
    [
        (LITE_T2V, {"duration": 2}),
        (LITE_I2V, {"images": (a_png(400, 300),)}),
        (PRO_FAST, {"images": (a_png(400, 300),), "resolution": "480p"}),
        (PRO, {"images": (a_png(400, 300), a_png(400, 300)), "duration": 12, "seed": 1}),
        (SEEDANCE_1_5, {"duration": -1, "audio": True}),
        (SEEDANCE_2, {"resolution": "4k", "ratio": "1:1", "seed": 4}),
        (SEEDANCE_2_FAST, {"images": (a_png(400, 300),), "audio": False}),
        (SEEDANCE_2_5, {"images": (a_png(400, 300),), "ratio": "16:9", "duration": 30}),
    ],
)
def test_vendor_takes_what_is_sent_for_every_model(ark, model: str, options: Any) -> None:
    request = VideoRequest(model, "waves", **options)
    assert ark.upstream.submit_video(request, ark.account(), CONTEXT).startswith("cgt-")


def finished(ark: Vendor, words: str) -> tuple[Account, str]:
    account = ark.account(words)
    task_id = ark.upstream.submit_video(VideoRequest(PRO, "waves"), account, CONTEXT)
    seen = ("succeeded", "failed", "expired")
    before = ark.simulators.ledger(requests_too=False)["tasks"]
    ark.simulators.until(
        lambda ledger: (
            sum(ledger["tasks"][how] for how in seen) > sum(before[how] for how in seen)
            and task_id not in ledger["tasks"]["names"]
        )
    )
    return account, task_id


def test_finished_video_has_a_cover_and_a_bill(ark: Vendor) -> None:
    task = ark.upstream.check_video(*reversed(finished(ark, "video1")))
    assert task.cover is not None
    assert task.completion_tokens > 0
    with task.cover.open() as chunks:
        assert b"".join(chunks)[:3] in (b"\xff\xd8\xff", b"\x89PN")


@pytest.mark.parametrize(
    ("word", "kind"),
    [("failed", JobFailed), ("filtered", ContentFiltered), ("expired", JobFailed)],
)
def test_video_that_came_to_nothing_says_why(ark: Vendor, word: str, kind: Any) -> None:
    account, task_id = finished(ark, f"video1-{word}")
    with pytest.raises(kind) as caught:
        ark.upstream.check_video(task_id, account)
    assert caught.value.message


def test_video_whose_link_is_gone_cannot_be_read(ark: Vendor) -> None:
    account, task_id = finished(ark, "video1-gone")
    video = ark.upstream.check_video(task_id, account).video
    assert video is not None
    with pytest.raises(UpstreamError), video.open() as chunks:
        list(chunks)


def test_queued_video_can_be_cancelled(ark: Vendor) -> None:
    account = ark.account("video60")
    task_id = ark.upstream.submit_video(VideoRequest(PRO, "waves"), account, CONTEXT)
    ark.upstream.cancel_video(task_id, account)
    with pytest.raises(JobFailed, match="cancelled"):
        ark.upstream.check_video(task_id, account)
    with pytest.raises(Conflict):
        ark.upstream.cancel_video(task_id, account)


def test_running_video_cannot_be_cancelled(scripted, canned) -> None:
    canned.say({"id": "cgt-1", "status": "running"})
    with pytest.raises(Conflict):
        scripted.upstream.cancel_video("cgt-1", ACCOUNT)


def test_video_that_starts_just_before_it_is_cancelled_cannot_be(scripted, canned) -> None:
    canned.say({"id": "cgt-1", "status": "queued"})
    canned.say(error("InvalidAction.RunningTaskDeletion"), 409)
    with pytest.raises(Conflict):
        scripted.upstream.cancel_video("cgt-1", ACCOUNT)


def test_cancelling_a_finished_video_does_not_delete_it(ark: Vendor) -> None:
    account, task_id = finished(ark, "video1")
    with pytest.raises(Conflict):
        ark.upstream.cancel_video(task_id, account)
    assert ark.upstream.check_video(task_id, account).video


def test_video_that_ark_does_not_know_is_lost(ark: Vendor) -> None:
    with pytest.raises(JobFailed):
        ark.upstream.check_video("cgt-20260101-none0", ark.account())
    with pytest.raises(Conflict):
        ark.upstream.cancel_video("cgt-20260101-none0", ark.account())


@pytest.mark.parametrize(
    "task",
    [
        {"id": "cgt-1", "status": "succeeded", "content": None},
        {"id": "cgt-1", "status": "succeeded", "content": {"video_url": ""}},
        {"id": "cgt-1", "status": "dreaming"},
        {"id": "cgt-1"},
        [],
    ],
    ids=str,
)
def test_task_that_makes_no_sense_is_refused(scripted, canned, task: Any) -> None:
    canned.say(task)
    with pytest.raises(UpstreamInvalidResponse):
        scripted.upstream.check_video("cgt-1", ACCOUNT)


@pytest.mark.parametrize("answer", [{}, {"id": ""}, [], {"id": 5}, b"{"])
def test_submission_answered_without_an_id_may_have_been_accepted(scripted, canned, answer) -> None:
    canned.say(answer)
    with pytest.raises(UpstreamInvalidResponse) as caught:
        scripted.upstream.submit_video(VideoRequest(PRO, "waves"), ACCOUNT, CONTEXT)
    assert caught.value.sent


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


def test_there_are_no_sessions_to_sweep(ark: Vendor) -> None:
    assert ark.upstream.sweep_sessions(ACCOUNT, "label") == 0
