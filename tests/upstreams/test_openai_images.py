"""Pictures by OpenAI's image API."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.domain.accounts import Account, Secret
from gateway.domain.errors import (
    UpstreamError,
    UpstreamInvalidResponse,
)
from gateway.domain.events import (
    Event,
    MediaReady,
    Usage,
)
from gateway.domain.requests import ImageRequest
from gateway.services.media.attachments import adapted
from gateway.services.routing.catalog import Route
from tests.support.media import data_url, png
from tests.upstreams.conftest import (
    CONTEXT,
    Vendor,
    a_jpeg,
    a_png,
    flat,
)

ACCOUNT = Account("sk-1", "openai", Secret("sk-secret-of-the-account"))


def images(vendor: Vendor, request: ImageRequest, account: Account) -> list[Event]:
    return flat(list(vendor.upstream.image(request, account, CONTEXT)))


def test_several_pictures_come_in_one_answer_with_their_bill(openai: Vendor) -> None:
    events = images(openai, ImageRequest("gpt-image-2", "a fox", n=3), openai.account())
    usage = events[-2]
    assert isinstance(usage, Usage)
    assert usage.images == 3
    assert usage.completion_tokens > 0
    assert [type(event) for event in events[:3]] == [MediaReady] * 3


def test_picture_by_link_is_fetched(openai: Vendor) -> None:
    ready = images(openai, ImageRequest("sim-image", "a fox"), openai.account())[0]
    assert isinstance(ready, MediaReady)
    assert ready.source.url
    with ready.source.open() as chunks:
        assert b"".join(chunks).startswith(b"\x89PNG")


def test_link_that_is_gone_is_the_vendors_fault(openai: Vendor) -> None:
    ready = images(openai, ImageRequest("sim-image", "a fox"), openai.account("gone"))[0]
    assert isinstance(ready, MediaReady)
    with pytest.raises(UpstreamError), ready.source.open() as chunks:
        b"".join(chunks)


def test_references_make_it_an_edit(openai: Vendor) -> None:
    account = openai.account()
    request = ImageRequest("gpt-image-2", "blue", images=(a_png(), a_jpeg()), mask=a_png(), n=2)
    events = images(openai, request, account)
    assert sum(isinstance(event, MediaReady) for event in events) == 2
    [seen] = openai.seen(account)
    assert seen["operation"] == "openai.images.edits"
    assert (seen["body"]["prompt"], str(seen["body"]["n"])) == ("blue", "2")
    [plan] = openai.upstream.plan_image(request, account)
    assert [file["name"] for file in plan.body["files"]] == ["image[]", "image[]", "mask"]


@pytest.mark.parametrize(
    ("model", "wanted", "size"),
    [
        ("gpt-image-2", {"size": "1024*1024"}, "1024x1024"),
        ("gpt-image-2", {"size": "auto"}, None),
        ("gpt-image-2", {}, None),
        ("gpt-image-2", {"ratio": "16:9"}, "1280x720"),
        ("gpt-image-2", {"ratio": "16:9", "size": "4K"}, "3840x2160"),
        ("gpt-image-2", {"size": "2K"}, "2048x2048"),
        ("gpt-image-1", {"ratio": "16:9"}, "1536x1024"),
        ("gpt-image-1", {"ratio": "3:4"}, "1024x1536"),
        ("dall-e-3", {"ratio": "9:16"}, "1024x1792"),
        ("dall-e-2", {"ratio": "9:16", "size": "4K"}, "1024x1024"),
    ],
)
def test_size_is_one_that_the_model_makes(openai, model: str, wanted: Any, size: Any) -> None:
    [call] = openai.upstream.plan_image(ImageRequest(model, "a fox", **wanted), ACCOUNT)
    assert call.body.get("size") == size


@pytest.mark.parametrize(
    ("model", "wanted", "size"),
    [
        ("grok-2-image", {}, None),
        ("grok-2-image", {"size": "auto"}, None),
        ("grok-2-image", {"images": (a_png(),)}, None),
        ("grok-2-image", {"ratio": "1:1"}, "1024x1024"),
        ("gpt-image-1", {}, "1024x1024"),
        ("gpt-image-2", {}, "1024x1024"),
    ],
)
def test_a_model_that_may_take_no_size_is_told_none_that_nobody_asked_for(
    openai, model: str, wanted: Any, size: Any
) -> None:
    request = adapted(ImageRequest("drawing", "a fox", **wanted), Route(openai.upstream, model))
    [call] = openai.upstream.plan_image(request, ACCOUNT)
    assert call.body.get("size") == size


@pytest.mark.parametrize(
    "body", [{}, {"data": []}, {"data": [{}]}, [], {"data": [{"url": "data:image/svg+xml,<svg/>"}]}]
)
def test_answer_without_a_picture_is_refused(imitator, canned, body: Any) -> None:
    canned.say(body)
    with pytest.raises(UpstreamInvalidResponse):
        images(imitator, ImageRequest("gpt-image-2", "a fox"), ACCOUNT)


def test_damaged_picture_is_noticed_when_it_is_read(imitator, canned) -> None:
    canned.say({"data": [{"b64_json": "AAAA*AAA"}]})
    ready = images(imitator, ImageRequest("gpt-image-2", "a fox"), ACCOUNT)[0]
    assert isinstance(ready, MediaReady)
    with pytest.raises(UpstreamInvalidResponse), ready.source.open() as chunks:
        b"".join(chunks)


def test_picture_in_wrapped_lines_or_a_data_url_is_read(imitator, canned) -> None:
    picture = png()
    url = data_url(picture)
    lines = "\n".join(url[22:][at : at + 76] for at in range(0, len(url), 76))
    canned.say({"data": [{"b64_json": lines}, {"url": url}], "output_format": "png"})
    for ready in images(imitator, ImageRequest("gpt-image-2", "a fox"), ACCOUNT)[:2]:
        assert isinstance(ready, MediaReady)
        assert ready.source.mime_type == "image/png"
        with ready.source.open() as chunks:
            assert b"".join(chunks) == picture
