"""Pictures and films by the Gemini API."""

from __future__ import annotations

import base64
from typing import Any

import pytest
import requests

from gateway.domain.accounts import Account
from gateway.domain.errors import (
    AnswerFailed,
    Conflict,
    ContentFiltered,
    InvalidRequest,
    JobFailed,
    ModelNotFound,
    NotFound,
    UpstreamInvalidResponse,
)
from gateway.domain.events import Finish, MediaReady, Progress, Usage
from gateway.domain.requests import ImageRequest, VideoRequest
from tests.support.media import png
from tests.upstreams.conftest import CONTEXT, Canned, Vendor, a_jpeg, a_png
from tests.upstreams.gemini_support import ACCOUNT, STOP, candidate, drawn, refusal

# Pictures.


@pytest.mark.parametrize(
    ("fields", "shape"),
    [
        ({}, None),
        ({"size": "auto"}, None),
        ({"size": "512"}, {"imageSize": "512"}),
        ({"ratio": "21:9"}, {"aspectRatio": "21:9"}),
        ({"size": "2k", "ratio": "4:3"}, {"imageSize": "2K", "aspectRatio": "4:3"}),
        ({"size": "1024x1024", "ratio": "4:3"}, {"imageSize": "1K", "aspectRatio": "1:1"}),
        ({"size": "1536x1024"}, {"imageSize": "1K", "aspectRatio": "3:2"}),
        ({"size": "2560x1440"}, {"imageSize": "2K", "aspectRatio": "16:9"}),
        ({"size": "2160x3840"}, {"imageSize": "2K", "aspectRatio": "9:16"}),
        ({"size": "4096x4096"}, {"imageSize": "4K", "aspectRatio": "1:1"}),
        ({"ratio": "8:1"}, {"aspectRatio": "8:1"}),
    ],
)
def test_shape_of_a_picture_is_the_nearest_there_is(gemini, fields, shape) -> None:
    request = ImageRequest(gemini.model("image"), "a fox", **fields)
    [call] = gemini.upstream.plan_image(request, ACCOUNT)
    assert call.body["generationConfig"].get("imageConfig") == shape
    assert drawn(gemini, request)


@pytest.mark.parametrize(
    ("fields", "param"),
    [({"ratio": "7:5"}, "ratio"), ({"size": "8K"}, "size"), ({"mask": a_png()}, "mask")],
)
def test_wishes_that_gemini_cannot_fulfil_are_named(gemini, fields, param: str) -> None:
    request = ImageRequest(gemini.model("image"), "a fox", **fields)
    with pytest.raises(InvalidRequest) as caught:
        gemini.upstream.plan_image(request, ACCOUNT)
    assert caught.value.param == param


def test_long_pictures_are_for_models_that_make_them(gemini: Vendor) -> None:
    with pytest.raises(InvalidRequest, match="21:9"):
        gemini.upstream.plan_image(ImageRequest("gemini-3-pro-image", "a", ratio="8:1"), ACCOUNT)


def test_several_pictures_are_several_calls(gemini: Vendor) -> None:
    account = gemini.account()
    request = ImageRequest(gemini.model("image"), "a fox", images=(a_jpeg(),), n=3, seed=4)
    events = drawn(gemini, request, account)
    assert len([event for event in events if isinstance(event, MediaReady)]) == 3
    usage, finish = events[-2:]
    assert isinstance(usage, Usage)
    assert usage.images == 3
    assert finish == Finish("stop")
    assert gemini.simulators.calls(account.name) == 3
    assert len(gemini.upstream.plan_image(request, account)) == 3


def test_picture_that_a_policy_keeps_back_is_the_contents_fault(gemini: Vendor) -> None:
    request = ImageRequest(gemini.model("image"), "a fox")
    with pytest.raises(ContentFiltered, match="IMAGE_SAFETY"):
        drawn(gemini, request, gemini.account("filtered"))


def test_answer_without_a_picture_is_an_error(gemini: Vendor) -> None:
    request = ImageRequest(gemini.model("image"), "a fox")
    with pytest.raises(AnswerFailed, match="NO_IMAGE"):
        drawn(gemini, request, gemini.account("failed"))


def test_pictures_made_before_a_failure_are_kept(scripted_gemini: Vendor, canned: Canned) -> None:
    inline = {"mimeType": "image/png", "data": base64.b64encode(png()).decode()}
    canned.say(candidate({"inlineData": inline}, **STOP))
    canned.say(refusal(429, "slow down"), status=429)
    request = ImageRequest(scripted_gemini.model("image"), "a fox", n=3)
    picture, note, usage, finish = drawn(scripted_gemini, request, ACCOUNT)
    assert isinstance(picture, MediaReady)
    assert isinstance(note, Progress)
    assert "rate limit" in note.note
    assert usage == Usage(images=1)
    assert finish == Finish("stop")


# Films.


def planned_film(vendor: Vendor, **fields: Any) -> dict[str, Any]:
    request = VideoRequest(vendor.model("video"), "waves", **fields)
    return vendor.upstream.plan_video(request, ACCOUNT)[0].body


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({}, {}),
        ({"ratio": "9:16", "duration": 8}, {"aspect_ratio": "9:16", "duration": "8s"}),
        ({"resolution": "1080P"}, {"resolution": "1080p"}),
        ({"size": "720x1280"}, {"aspect_ratio": "9:16", "resolution": "720p"}),
        ({"size": "3840x2160"}, {"aspect_ratio": "16:9", "resolution": "4k"}),
        ({"size": "1024x1792"}, {"aspect_ratio": "9:16", "resolution": "1080p"}),
    ],
)
def test_film_is_asked_for_in_the_background(gemini: Vendor, fields, wanted) -> None:
    body = planned_film(gemini, **fields)
    assert body["response_format"] == {"type": "video", "delivery": "uri", **wanted}
    assert body["background"] is body["store"] is True
    account = gemini.account()
    request = VideoRequest(gemini.model("video"), "waves", **fields)
    task_id = gemini.upstream.submit_video(request, account, CONTEXT)
    assert gemini.upstream.check_video(task_id, account).running


def test_first_frame_goes_with_the_prompt(gemini: Vendor) -> None:
    body = planned_film(gemini, images=(a_png(400, 300),), seed=5)
    assert [part["type"] for part in body["input"]] == ["image", "text"]
    assert body["generation_config"] == {"video_config": {"task": "image_to_video"}, "seed": 5}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"ratio": "1:1"}, "ratio"),
        ({"resolution": "480p"}, "resolution"),
        ({"duration": 2}, "duration"),
        ({"duration": 16}, "duration"),
        ({"images": (a_png(), a_jpeg())}, "image[1]"),
    ],
)
def test_films_that_gemini_cannot_make_are_refused(gemini, fields, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        planned_film(gemini, **fields)
    assert caught.value.param == param


def test_older_model_makes_shorter_films(gemini: Vendor) -> None:
    request = VideoRequest("gemini-omni-1.1-flash", "waves", duration=12)
    with pytest.raises(InvalidRequest, match="3 to 10"):
        gemini.upstream.plan_video(request, ACCOUNT)


def begun(vendor: Vendor, words: str) -> tuple[str, Account]:
    account = vendor.account(words)
    request = VideoRequest(vendor.model("video"), "waves", duration=3, resolution="360p")
    return vendor.upstream.submit_video(request, account, CONTEXT), account


def operations(vendor: Vendor, account: Account) -> dict[str, int]:
    return vendor.simulators.operations(account.name)


def test_film_stays_at_the_vendor_until_it_is_released(gemini: Vendor) -> None:
    task_id, account = begun(gemini, "video0")
    for _ in range(2):
        task = gemini.upstream.check_video(task_id, account)
        assert task.video is not None
        with task.video.open() as chunks:
            assert b"".join(chunks)[4:8] == b"ftyp"
        assert task.completion_tokens > 0
    for _ in range(2):
        gemini.upstream.release_video(task_id, account)
    assert operations(gemini, account)["gemini.interactions.delete"] == 2
    with pytest.raises(JobFailed):
        gemini.upstream.check_video(task_id, account)


def test_film_that_runs_can_be_cancelled(gemini: Vendor) -> None:
    task_id, account = begun(gemini, "video60")
    gemini.upstream.cancel_video(task_id, account)
    assert operations(gemini, account)["gemini.interactions.delete"] == 1
    with pytest.raises(NotFound):
        gemini.upstream.cancel_video(task_id, account)


def test_film_that_is_made_cannot_be_cancelled(gemini: Vendor) -> None:
    task_id, account = begun(gemini, "video0")
    with pytest.raises(Conflict):
        gemini.upstream.cancel_video(task_id, account)


@pytest.mark.parametrize("word", ["blocked", "filtered"])
def test_film_that_a_policy_keeps_back_is_the_contents_fault(gemini: Vendor, word: str) -> None:
    task_id, account = begun(gemini, f"video0-{word}")
    with pytest.raises(ContentFiltered):
        gemini.upstream.check_video(task_id, account)


@pytest.mark.parametrize("model", ["gemini-omni-9-flash", "veo-3.1-generate-preview"])
def test_unknown_model_makes_no_films(gemini: Vendor, model: str) -> None:
    with pytest.raises(ModelNotFound) as caught:
        gemini.upstream.submit_video(VideoRequest(model, "waves"), gemini.account(), CONTEXT)
    assert not caught.value.sent


def made(uri: str, **fields: Any) -> dict[str, Any]:
    content = [{"type": "video", "mime_type": "video/mp4", "uri": uri}]
    steps = [{"type": "thought"}, {"type": "model_output", "content": content}]
    return {"id": "v1_1", "status": "completed", "steps": steps, **fields}


def test_film_in_a_file_is_read_with_the_key(gemini: Vendor) -> None:
    account = gemini.account("video0")
    interaction = requests.post(
        f"{gemini.simulators.url}/gemini/v1beta/interactions",
        headers={"x-goog-api-key": account.secret.reveal()},
        json={
            "model": gemini.model("video"),
            "input": "waves",
            "response_format": {"type": "video", "delivery": "uri", "resolution": "360p"},
        },
        timeout=10,
    ).json()
    task_id = interaction["id"]
    gemini.simulators.until(lambda _: not gemini.upstream.check_video(task_id, account).running)
    source = gemini.upstream.check_video(task_id, account).video
    assert source is not None
    with source.open() as chunks:
        assert b"".join(chunks)[4:8] == b"ftyp"
    assert account.secret.reveal() not in repr(source)


@pytest.mark.parametrize("count", [2**70, -5, True, "many"])
def test_a_count_of_tokens_that_makes_no_sense_is_none(
    scripted_gemini: Vendor, canned: Canned, count: Any
) -> None:
    uri = "https://vendor.example/film.mp4"
    canned.say({**made(uri), "usage": {"total_output_tokens": count, "total_thought_tokens": 3}})
    assert scripted_gemini.upstream.check_video("v1_1", ACCOUNT).completion_tokens == 3


def test_film_may_still_be_on_its_way_into_a_file(scripted_gemini: Vendor, canned: Canned) -> None:
    uri = "https://generativelanguage.googleapis.com/v1beta/files/abc-1:download?alt=media"
    file = {"name": "files/abc-1", "uri": "https://vendor.example/files/abc-1"}
    canned.say(made(uri))
    canned.say({**file, "state": "PROCESSING"})
    task = scripted_gemini.upstream.check_video("v1_1", ACCOUNT)
    assert task.running
    assert task.percent == 99

    canned.say(made(uri))
    canned.say({**file, "state": "ACTIVE"})
    task = scripted_gemini.upstream.check_video("v1_1", ACCOUNT)
    assert task.video is not None
    assert task.video.url == f"{canned.url}/v1beta/files/abc-1:download?alt=media"


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (
            refusal(403, "You do not have permission to access the File abc or it may not exist."),
            403,
        ),
        ({"name": "files/abc", "uri": "u", "state": "FAILED"}, 200),
    ],
)
def test_film_that_was_lost_is_a_failed_job(scripted_gemini, canned, answer, status: int) -> None:
    canned.say(made("https://vendor.example/v1beta/files/abc:download?alt=media"))
    canned.say(answer, status=status)
    with pytest.raises(JobFailed):
        scripted_gemini.upstream.check_video("v1_1", ACCOUNT)


@pytest.mark.parametrize(
    "answer",
    [
        {"status": "incomplete", "steps": []},
        {"status": "cancelled"},
        {"status": "failed", "errors": [{"code": "api_error", "message": "no AIza-secret-1"}]},
    ],
)
def test_interaction_without_a_film_is_a_failed_job(scripted_gemini, canned, answer) -> None:
    canned.say(answer)
    with pytest.raises(JobFailed) as caught:
        scripted_gemini.upstream.check_video("v1_1", ACCOUNT)
    assert "AIza" not in caught.value.message


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {"status": "completed", "steps": 5},
        {"status": "completed", "steps": []},
        {"status": "completed", "steps": [{"type": "of_tomorrow", "content": [{}]}]},
        {"status": "of_tomorrow", "steps": []},
        {"status": ["failed"]},
        {"steps": []},
    ],
)
def test_word_on_a_film_that_makes_no_sense_is_refused(scripted_gemini, canned, answer) -> None:
    canned.say(answer)
    with pytest.raises(UpstreamInvalidResponse):
        scripted_gemini.upstream.check_video("v1_1", ACCOUNT)


@pytest.mark.parametrize("status", ["completed", "idle", None])
def test_film_that_is_there_is_taken_in_any_wrapping(scripted_gemini, canned, status) -> None:
    step = made("https://vendor.example/film.mp4")["steps"][-1]
    canned.say({"status": status, "steps": {**step, "content": step["content"][0]}})
    task = scripted_gemini.upstream.check_video("v1_1", ACCOUNT)
    assert task.video is not None
    assert task.video.url == "https://vendor.example/film.mp4"


def test_film_without_an_id_may_be_on_its_way(scripted_gemini: Vendor, canned: Canned) -> None:
    canned.say({"status": "in_progress"})
    with pytest.raises(UpstreamInvalidResponse) as caught:
        scripted_gemini.upstream.submit_video(
            VideoRequest("gemini-omni-1.2-flash", "a"), ACCOUNT, CONTEXT
        )
    assert caught.value.sent
