"""Seedance: what each model takes, and what becomes of a task."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.domain.accounts import Account, Secret
from gateway.domain.errors import (
    Conflict,
    ContentFiltered,
    InvalidRequest,
    JobFailed,
    UpstreamError,
    UpstreamInvalidResponse,
)
from gateway.domain.requests import Reference, ReferenceRole, VideoRequest
from tests.upstreams.conftest import (
    CONTEXT,
    Vendor,
    a_png,
    ark_error,
)

ACCOUNT = Account("ark-1", "ark", Secret("ark-secret-of-the-account"))
LITE_T2V = "doubao-seedance-1-0-lite-t2v-250428"
LITE_I2V = "doubao-seedance-1-0-lite-i2v-250428"
PRO_FAST = "doubao-seedance-1-0-pro-fast-251015"
PRO = "doubao-seedance-1-0-pro-250528"
SEEDANCE_1_5 = "doubao-seedance-1-5-pro-251215"
SEEDANCE_2 = "doubao-seedance-2-0-260128"
SEEDANCE_2_FAST = "doubao-seedance-2-0-fast-260128"
SEEDANCE_2_5 = "doubao-seedance-2-5-260628"


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


def test_running_video_cannot_be_cancelled(scripted_ark, canned) -> None:
    canned.say({"id": "cgt-1", "status": "running"})
    with pytest.raises(Conflict):
        scripted_ark.upstream.cancel_video("cgt-1", ACCOUNT)


def test_video_that_starts_just_before_it_is_cancelled_cannot_be(scripted_ark, canned) -> None:
    canned.say({"id": "cgt-1", "status": "queued"})
    canned.say(ark_error("InvalidAction.RunningTaskDeletion"), 409)
    with pytest.raises(Conflict):
        scripted_ark.upstream.cancel_video("cgt-1", ACCOUNT)


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
        {"id": "cgt-1", "status": "dreaming"},
        {"id": "cgt-1"},
        [],
    ],
    ids=str,
)
def test_task_that_makes_no_sense_is_refused(scripted_ark, canned, task: Any) -> None:
    canned.say(task)
    with pytest.raises(UpstreamInvalidResponse):
        scripted_ark.upstream.check_video("cgt-1", ACCOUNT)


@pytest.mark.parametrize("answer", [{}, {"id": ""}, [], {"id": 5}, b"{"])
def test_submission_answered_without_an_id_may_have_been_accepted(
    scripted_ark, canned, answer
) -> None:
    canned.say(answer)
    with pytest.raises(UpstreamInvalidResponse) as caught:
        scripted_ark.upstream.submit_video(VideoRequest(PRO, "waves"), ACCOUNT, CONTEXT)
    assert caught.value.sent


def test_frames_with_roles_are_sent_first_and_last(ark: Vendor) -> None:
    frames = (Reference("last_frame", a_png(64, 64)), Reference("first_frame", a_png(32, 32)))
    content = plan(ark, SEEDANCE_2, references=frames)["content"]
    assert [part.get("role") for part in content] == [None, "first_frame", "last_frame"]


@pytest.mark.parametrize(
    ("role", "param"),
    [("reference", "references"), ("edit", "edit_of"), ("extend", "extend_of")],
)
def test_references_that_are_not_sent_are_refused_by_name(
    ark: Vendor, role: ReferenceRole, param: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        plan(ark, SEEDANCE_2, references=(Reference(role, a_png()),))
    assert refused.value.param == param


def test_a_last_frame_alone_is_refused_by_name(ark: Vendor) -> None:
    with pytest.raises(InvalidRequest) as refused:
        plan(ark, SEEDANCE_2, references=(Reference("last_frame", a_png()),))
    assert refused.value.param == "last_frame"
