"""Videos and files of the simulated Ark, driven with the vendor's SDK."""

from __future__ import annotations

import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from queue import Queue
from threading import Thread

import pytest
import requests
from volcenginesdkarkruntime import _exceptions as ark_errors

from tests.simulators.ark.kit import (
    CHAT,
    FRAME,
    VIDEO,
    VIDEO_2,
    image,
    size_of,
    video_task,
    wait_for,
)
from tests.support.media import data_url, mp4, png


def test_video_goes_through_its_states(ark, ledger):
    task_id = video_task(ark, ratio="9:16", resolution="480p", duration=3, return_last_frame=True)
    running = wait_for(ark, task_id, "running")
    assert (running.content, running.usage) == (None, None)
    assert task_id in ledger()["tasks"]["names"]
    task = wait_for(ark, task_id, "succeeded")
    assert (task.resolution, task.ratio, task.duration) == ("480p", "9:16", 3)
    assert task.framespersecond == 24
    assert task.usage.total_tokens == 480 * 864 * 73 // 1024
    video = requests.get(task.content.video_url, timeout=10)
    assert (video.headers["Content-Type"], video.content[4:8]) == ("video/mp4", b"ftyp")
    assert size_of(task.content.last_frame_url) == ("PNG", "480x864")
    assert task_id not in ledger()["tasks"]["names"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ("1080p", "16:9")),
        ({"content": [{"type": "text", "text": "a cat --rs 720p --rt 1:1"}]}, ("720p", "1:1")),
        ({"content": [image(FRAME)], "resolution": "480p"}, ("480p", "16:9")),
        ({"content": [image(data_url(png(300, 400)))]}, ("1080p", "3:4")),
        (
            {"content": [image(FRAME, "first_frame"), image(FRAME, "last_frame")]},
            ("1080p", "16:9"),
        ),
        (
            {"model": VIDEO_2, "content": [image(FRAME, "reference_image")] * 9},
            ("720p", "16:9"),
        ),
        ({"model": "doubao-seedance-2-5-260628"}, ("720p", "16:9")),
    ],
)
def test_video_is_made_as_asked_or_by_the_models_defaults(client, options, expected):
    ark = client("video0")
    task = wait_for(ark, video_task(ark, **options), "succeeded")
    assert (task.resolution, task.ratio) == expected


def test_frames_win_over_duration(client):
    ark = client("video0")
    task = wait_for(ark, video_task(ark, frames=57, duration=5), "succeeded")
    assert (task.frames, task.duration) == (57, None)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"content": None}, "MissingParameter"),
        ({"content": []}, "InvalidParameter"),
        ({"n": 2}, "InvalidParameter"),
        ({"fps": 24}, "InvalidParameter"),
        ({"duration": 13}, "InvalidParameter"),
        ({"duration": "5"}, "InvalidParameter"),
        ({"duration": -1}, "InvalidParameter"),
        ({"frames": 30}, "InvalidParameter"),
        ({"resolution": "4k"}, "InvalidParameter"),
        ({"ratio": "3:2"}, "InvalidParameter"),
        ({"ratio": "adaptive"}, "InvalidParameter"),
        ({"generate_audio": True}, "InvalidParameter.UnsupportedParameter"),
        ({"model": VIDEO_2, "frames": 57}, "InvalidParameter.UnsupportedParameter"),
        ({"model": VIDEO_2, "service_tier": "flex"}, "InvalidParameter"),
        ({"model": VIDEO_2, "duration": 3}, "InvalidParameter"),
        ({"model": CHAT}, "UnsupportedModel"),
        ({"execution_expires_after": 60}, "InvalidParameter"),
        ({"safety_identifier": "x" * 65}, "InvalidParameter"),
        ({"content": [image(FRAME), image(FRAME)]}, "InvalidParameter"),
        ({"content": [image(FRAME, "last_frame")]}, "InvalidParameter"),
        ({"content": [image(FRAME, "reference_image")]}, "InvalidParameter"),
        ({"content": [{"type": "image_url", "image_url": FRAME}]}, "InvalidParameter"),
        ({"content": [image(data_url(png(200, 200)))]}, "InvalidParameter"),
        ({"content": [image(data_url(png(1200, 400)))]}, "InvalidParameter"),
        (
            {"model": VIDEO_2, "content": [image(FRAME, "reference_image")] * 10},
            "InvalidParameter",
        ),
        (
            {
                "model": "doubao-seedance-1-0-lite-t2v-250428",
                "content": [{"type": "text", "text": "a"}, image(FRAME)],
            },
            "InvalidParameter",
        ),
        ({"model": "doubao-seedance-1-0-lite-i2v-250428"}, "InvalidParameter"),
    ],
)
def test_wrong_video_requests_are_refused(post, change, code):
    body = {"model": VIDEO, "content": [{"type": "text", "text": "a cat"}]} | change
    answer = post("/contents/generations/tasks", body)
    assert answer.json()["error"]["code"] == code
    assert answer.status_code in (400, 404)


@pytest.mark.parametrize(
    ("word", "status", "code"),
    [
        ("failed", "failed", "InternalServiceError"),
        ("filtered", "failed", "OutputVideoSensitiveContentDetected"),
        ("expired", "expired", None),
    ],
)
def test_video_can_come_to_nothing(client, word, status, code):
    ark = client(f"{word}-video0")
    task = wait_for(ark, video_task(ark), status)
    assert (task.error and task.error.code) == code
    assert task.content is None


def test_queued_task_is_cancelled_and_cannot_be_again(client, ledger):
    ark = client("video60")
    task_id = video_task(ark)
    assert ark.content_generation.tasks.get(task_id=task_id).status == "queued"
    before = ledger()["tasks"]["cancelled"]
    ark.content_generation.tasks.delete(task_id=task_id)
    assert ark.content_generation.tasks.get(task_id=task_id).status == "cancelled"
    assert ledger()["tasks"]["cancelled"] == before + 1
    with pytest.raises(ark_errors.ArkBadRequestError):
        ark.content_generation.tasks.delete(task_id=task_id)


def test_running_task_cannot_be_deleted_and_a_finished_one_is_gone(client, ledger):
    ark = client("video2")
    task_id = video_task(ark)
    wait_for(ark, task_id, "running")
    with pytest.raises(ark_errors.ArkConflictError) as caught:
        ark.content_generation.tasks.delete(task_id=task_id)
    assert caught.value.code == "InvalidAction.RunningTaskDeletion"
    wait_for(ark, task_id, "succeeded")
    ark.content_generation.tasks.delete(task_id=task_id)
    for _ in range(2):
        with pytest.raises(ark_errors.ArkNotFoundError):
            ark.content_generation.tasks.delete(task_id=task_id)
    assert f"task {task_id} was deleted twice" in ledger()["violations"]


def test_task_of_another_account_does_not_exist(ark, client):
    task_id = video_task(ark)
    with pytest.raises(ark_errors.ArkNotFoundError):
        client("other").content_generation.tasks.get(task_id=task_id)


def test_tasks_are_listed_by_filter_once_a_second(client):
    ark = client("video0")
    ids = [video_task(ark) for _ in range(3)]
    page = ark.content_generation.tasks.list(page_size=2, status="succeeded")
    assert (page.total, [task.id for task in page.items]) == (3, ids[:0:-1])
    with pytest.raises(ark_errors.ArkRateLimitError) as caught:
        [ark.content_generation.tasks.list(task_ids=ids[:1]) for _ in range(3)]
    assert caught.value.code == "AccountRateLimitExceeded"


def test_tasks_beyond_the_concurrency_stay_queued(client):
    ark = client("video3")
    ids = [video_task(ark) for _ in range(11)]
    wait_for(ark, ids[-2], "running")
    assert ark.content_generation.tasks.get(task_id=ids[-1]).status == "queued"


def test_posting_to_cancel_reaches_the_create_call(post):
    answer = post("/contents/generations/tasks/cgt-1/cancel", {})
    assert answer.json()["error"]["code"] == "MissingParameter"


def test_callback_gets_each_state(client):
    received: Queue[str] = Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.put(json.loads(body)["status"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        video_task(client("video1"), callback_url=f"http://127.0.0.1:{server.server_port}/")
        statuses = [received.get(timeout=10) for _ in range(3)]
        server.shutdown()
        thread.join()
    assert statuses == ["queued", "running", "succeeded"]


def test_file_is_uploaded_described_used_and_deleted(ark):
    file = ark.files.create(file=("cat.png", png(64, 48)), purpose="user_data")
    assert (file.status, file.mime_type, file.filename) == ("active", "image/png", "cat.png")
    assert [one.id for one in ark.files.list().data] == [file.id]
    for part in (
        {"type": "file", "file": {"file_id": file.id}},
        {"type": "image_url", "image_url": {"file_id": file.id}},
    ):
        answer = ark.chat.completions.create(
            model=CHAT, messages=[{"role": "user", "content": [part]}]
        )
        assert "image/png 64x48" in answer.choices[0].message.content
    assert ark.files.delete(file.id).deleted
    with pytest.raises(ark_errors.ArkNotFoundError):
        ark.files.retrieve(file.id)


def test_video_file_is_active_after_processing(ark):
    file = ark.files.create(file=("cat.mp4", mp4()), purpose="user_data")
    assert file.status == "processing"
    assert ark.files.wait_for_processing(file.id, poll_interval=0.1).status == "active"


def test_file_of_another_account_does_not_exist(ark, client):
    file = ark.files.create(file=("a.txt", b"abc"), purpose="user_data")
    with pytest.raises(ark_errors.ArkNotFoundError):
        client("other").files.retrieve(file.id)


def test_upload_with_an_unknown_purpose_is_refused(ark):
    with pytest.raises(ark_errors.ArkBadRequestError):
        ark.files.create(file=("a.txt", b"abc"), purpose="vision")


VIDEO_2_5 = "doubao-seedance-2-5-260628"


def test_a_final_video_is_made_from_its_draft(client):
    ark = client("video0")
    draft = video_task(ark, model=VIDEO_2_5, duration=6, draft=True, resolution="480p")
    content = [{"type": "draft_task", "draft_task": {"id": draft}}]
    final = wait_for(
        ark, video_task(ark, model=VIDEO_2_5, content=content, resolution="1080p"), "succeeded"
    )
    assert (final.resolution, final.duration, final.draft) == ("1080p", 6, False)


@pytest.mark.parametrize(("sound", "tracks"), [(True, 2), (False, 1)])
def test_sound_is_a_track_of_its_own(client, sound, tracks):
    ark = client("video0")
    task = wait_for(ark, video_task(ark, model=VIDEO_2, generate_audio=sound), "succeeded")
    data = requests.get(task.content.video_url, timeout=20).content
    assert (data.count(b"trak"), data.count(b"soun")) == (tracks, tracks - 1)


def test_an_extension_takes_a_video_and_chooses_its_own_length(post, media_server):
    video = {"type": "video_url", "video_url": {"url": f"{media_server.url}/clip.mp4"}}
    body = {
        "model": VIDEO_2_5,
        "content": [{"type": "text", "text": "go on"}, video | {"role": "reference_video"}],
        "omni_reference_task_type": "extend",
    }
    assert post("/contents/generations/tasks", body).status_code == 200
    assert post("/contents/generations/tasks", body | {"duration": 5}).status_code == 400
    del body["content"][1]
    assert post("/contents/generations/tasks", body).status_code == 400
