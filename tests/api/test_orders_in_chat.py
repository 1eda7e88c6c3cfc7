"""Models that make pictures and videos, asked on the chat endpoint."""

from __future__ import annotations

import pytest

from tests.services.media.kit import PDF, WAV
from tests.support.media import data_url, mp4, png

CHAT, IMAGES, VIDEO = "/v1/chat/completions", "/v1/images/generations", "/v1/video/generations"
DRY = {"X-Gateway-Dry-Run": "1"}
TOOLS = [{"type": "function", "function": {"name": "f"}}]
LINK = {"type": "image_url", "image_url": {"url": data_url(png())}}


def asked(gateway, model="doubao-image", content="a cat", **params):
    body = {"model": model, "messages": [{"role": "user", "content": content}], **params}
    return gateway.post(CHAT, body, headers=DRY)


@pytest.mark.parametrize(
    ("config", "alike"),
    [
        ({"aspect_ratio": "16:9"}, {"ratio": "16:9"}),
        ({"aspectRatio": "16:9"}, {"ratio": "16:9"}),
        ({"aspectRatio": "9:16", "imageSize": "4K"}, {"ratio": "9:16", "size": "4K"}),
        ({"image_size": "2k"}, {"size": "2K"}),
        ({"image_size": "1024x768"}, {"size": "1024x768"}),
        ({"image_size": "auto", "aspect_ratio": ""}, {}),
        ({"image_size": "3:2"}, {"ratio": "3:2"}),
    ],
    ids=str,
)
def test_the_shape_is_asked_for_as_on_the_pictures_endpoint(gateway, config, alike):
    plan = asked(gateway, image_config=config).json()["requests"]
    same = gateway.post(IMAGES, {"prompt": "a cat", **alike}, headers=DRY).json()["requests"]
    assert plan[0]["body"] == same[0]["body"]


@pytest.mark.parametrize(
    ("params", "param"),
    [
        ({"n": 11}, "n"),
        ({"seed": 2**32}, "seed"),
        ({"image_config": {"aspect_ratio": "0:0"}}, "image_config.aspect_ratio"),
        ({"image_config": {"aspectRatio": "wide"}}, "image_config.aspectRatio"),
        ({"image_config": {"aspect_ratio": "9999:1"}}, "image_config.aspect_ratio"),
        ({"image_config": {"image_size": "banana"}}, "image_config.image_size"),
        ({"image_config": {"imageSize": "9000x9000"}}, "image_config.imageSize"),
        ({"content": "x" * 32_001}, "messages"),
        ({"model": "doubao-video", "seed": -2}, "seed"),
        (
            {"content": [{"type": "text", "text": "x"}, *[LINK] * 17]},
            "messages[0].content[17].image_url.url",
        ),
        (
            {"model": "doubao-video", "content": [{"type": "text", "text": "x"}, *[LINK] * 3]},
            "messages[0].content[3].image_url.url",
        ),
    ],
    ids=lambda value: str(value)[:60],
)
def test_the_limits_are_those_of_the_endpoints_of_pictures_and_videos(gateway, params, param):
    answer = asked(gateway, **params)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


@pytest.mark.parametrize(
    ("model", "dropped"),
    [
        ("doubao-image", "seed, temperature, response_format, tools, foo"),
        ("doubao-video", "n, temperature, response_format, tools, foo"),
    ],
)
def test_parameters_that_mean_nothing_there_are_named(gateway, model, dropped):
    given = {"n": 2, "temperature": 0.3, "tools": TOOLS, "foo": 1, "seed": 3}
    answer = asked(gateway, model, **given, response_format={"type": "json_object"})
    assert answer.status_code == 200
    assert set(answer.headers["X-Gateway-Dropped-Params"].split(", ")) == set(dropped.split(", "))


@pytest.mark.parametrize("headers", [DRY, {}], ids=["dry", "wet"])
@pytest.mark.parametrize("model", ["doubao-image", "doubao-video"])
@pytest.mark.parametrize(
    ("part", "field"),
    [
        (
            {"type": "file", "file": {"file_data": data_url(b"notes", "text/plain")}},
            "file.file_data",
        ),
        ({"type": "file", "file": {"file_data": data_url(PDF)}}, "file.file_data"),
        (
            {"type": "video_url", "video_url": {"url": data_url(mp4(), "video/mp4")}},
            "video_url.url",
        ),
        ({"type": "input_audio", "input_audio": {"data": data_url(WAV)}}, "input_audio.data"),
    ],
    ids=["text", "pdf", "film", "sound"],
)
def test_what_is_no_picture_is_refused_by_name(gateway, model, part, field, headers):
    turn = {"role": "user", "content": [{"type": "text", "text": "draw"}, LINK, part]}
    answer = gateway.post(CHAT, {"model": model, "messages": [turn]}, headers=headers)
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["code"] == "unsupported_media_type"
    assert error["param"] == f"messages[0].content[2].{field}"


def test_a_picture_may_come_as_a_file(gateway):
    part = {"type": "file", "file": {"file_data": data_url(png())}}
    (call,) = asked(gateway, content=[{"type": "text", "text": "draw"}, part]).json()["requests"]
    assert call["body"]["image"]


@pytest.mark.parametrize(
    "preference", ["Respond-Async", "wait=10, RESPOND-ASYNC", "respond-async; wait=10"]
)
def test_a_preference_may_be_written_in_any_case(gateway, preference):
    answer = gateway.post(VIDEO, {"prompt": "waves"}, headers={"Prefer": preference})
    assert answer.status_code == 202


def test_a_preference_that_only_looks_alike_is_another(gateway):
    headers = {"Prefer": "x-respond-async, handling=respond-async"}
    assert gateway.post(IMAGES, {"prompt": "waves"}, headers=headers).status_code == 200
