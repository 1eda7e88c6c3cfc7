"""Seedream: sizes that each model takes, and pictures one after the other."""

from __future__ import annotations

import base64
from io import BytesIO
from typing import Any

import pytest
from PIL import Image

from gateway.domain.accounts import Account, Secret
from gateway.domain.errors import (
    ContentFiltered,
    GatewayError,
    InvalidRequest,
    UpstreamError,
    UpstreamInvalidResponse,
)
from gateway.domain.events import Finish, MediaReady, Progress, Usage
from gateway.domain.requests import ImageRequest
from tests.support.media import png
from tests.upstreams.conftest import (
    CONTEXT,
    Vendor,
    a_jpeg,
    a_png,
    ark_error,
    flat,
)

ACCOUNT = Account("ark-1", "ark", Secret("ark-secret-of-the-account"))
SEEDREAM_3 = "doubao-seedream-3-0-t2i-250415"
SEEDREAM_4 = "doubao-seedream-4-0-250828"
SEEDREAM_4_5 = "doubao-seedream-4-5-251128"
SEEDREAM_5 = "doubao-seedream-5-0-lite-260128"
SEEDREAM_5_PRO = "doubao-seedream-5-0-pro-260628"
SEEDREAM_6 = "doubao-seedream-6-0-270101"


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


def test_pictures_already_made_are_not_lost_with_a_later_one(scripted_ark, canned) -> None:
    picture = {"data": [{"url": "https://x.example/1.jpeg"}], "usage": {"output_tokens": 5}}
    blocked = ark_error("OutputImageSensitiveContentDetected")
    canned.say(picture)
    canned.say(blocked, 400)
    canned.say(picture)
    canned.say(ark_error("InternalServiceError"), 500)
    request = ImageRequest(SEEDREAM_4, "a fox", n=9)
    events = flat(list(scripted_ark.upstream.image(request, ACCOUNT, CONTEXT)))
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


def test_reason_given_in_place_of_a_picture_is_heard(scripted_ark, canned) -> None:
    canned.say({"data": [ark_error("OutputImageSensitiveContentDetected")]})
    with pytest.raises(ContentFiltered) as caught:
        list(scripted_ark.upstream.image(ImageRequest(SEEDREAM_4, "a fox"), ACCOUNT, CONTEXT))
    assert caught.value.sent


@pytest.mark.parametrize("body", [{}, {"data": []}, [], {"data": [{}]}])
def test_answer_without_a_picture_is_refused(scripted_ark, canned, body: Any) -> None:
    canned.say(body)
    with pytest.raises(UpstreamInvalidResponse):
        list(scripted_ark.upstream.image(ImageRequest(SEEDREAM_4, "a fox"), ACCOUNT, CONTEXT))


def test_picture_in_base64_is_taken_though_a_link_was_asked_for(scripted_ark, canned) -> None:
    image = png()
    canned.say({"data": [{"b64_json": base64.b64encode(image).decode()}]})
    request = ImageRequest(SEEDREAM_4, "a fox")
    events = flat(scripted_ark.upstream.image(request, ACCOUNT, CONTEXT))
    [source] = [event.source for event in events if isinstance(event, MediaReady)]
    with source.open() as pieces:
        assert b"".join(pieces) == image
