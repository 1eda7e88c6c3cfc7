"""Ark's own SDK drives the gateway's tasks, images and chat."""

from __future__ import annotations

import time

import pytest
import requests
from volcenginesdkarkruntime import Ark
from volcenginesdkarkruntime._exceptions import (
    ArkAuthenticationError,
    ArkBadRequestError,
    ArkNotFoundError,
)

from tests.support.media import data_url, png

VIDEO = "doubao-seedance-1-0-pro-250528"
IMAGE = "doubao-seedream-4-0-250828"
FRAME = data_url(png(320, 320))


@pytest.fixture
def ark(gateway, request):
    """A caller of its own, since tests share the gateway."""
    key = f"ark-dialect-{request.node.name[:40]}"
    with Ark(base_url=f"{gateway.url}/api/v3", api_key=key, max_retries=0) as client:
        client.key = key
        yield client


def finished(ark, task_id: str):
    deadline = time.monotonic() + 60
    while (task := ark.content_generation.tasks.get(task_id=task_id)).status in (
        "queued",
        "running",
    ):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    return task


def created(ark, text: str = "waves", **options) -> str:
    content = [{"type": "text", "text": text}]
    return ark.content_generation.tasks.create(model=VIDEO, content=content, **options).id


def test_a_task_is_created_polled_and_its_video_downloaded(ark):
    task_id = created(ark, duration=5, ratio="9:16", seed=7)
    assert task_id.startswith("cgt-")
    task = finished(ark, task_id)
    assert (task.id, task.status, task.model) == (task_id, "succeeded", VIDEO)
    assert (task.duration, task.ratio, task.seed) == (5, "9:16", 7)
    assert task.usage.completion_tokens > 0
    video = requests.get(task.content.video_url, timeout=30)
    assert video.headers["Content-Type"] == "video/mp4"


def test_frames_reach_the_vendor_in_their_roles(ark, simulators):
    content = [
        {"type": "text", "text": "waves"},
        {"type": "image_url", "image_url": {"url": FRAME}, "role": "first_frame"},
        {"type": "image_url", "image_url": {"url": FRAME}, "role": "last_frame"},
    ]
    task = ark.content_generation.tasks.create(model=VIDEO, content=content)
    assert finished(ark, task.id).status == "succeeded"
    (body,) = [
        r["body"] for r in simulators.requests_of(ark.key) if r["operation"] == "ark.videos.create"
    ]
    assert [item.get("role") for item in body["content"]] == [None, "first_frame", "last_frame"]


def test_a_task_is_the_same_job_in_every_dialect(ark, gateway):
    task_id = created(ark)
    finished(ark, task_id)
    job_id = task_id.replace("cgt-", "video_")
    for path in (f"/v1/jobs/{job_id}", f"/v1/videos/{job_id}"):
        assert gateway.get(path, key=ark.key).json()["status"] == "completed"
    with pytest.raises(ArkNotFoundError):
        Ark(
            base_url=f"{gateway.url}/api/v3", api_key="ark-somebody-else"
        ).content_generation.tasks.get(task_id=task_id)


def test_tasks_are_listed_in_pages_and_by_filters(ark):
    ids = [created(ark, f"number {number}") for number in range(3)]
    for task_id in ids:
        finished(ark, task_id)
    tasks = ark.content_generation.tasks
    page = tasks.list(page_num=1, page_size=2)
    assert (page.total, [item.id for item in page.items]) == (3, ids[:0:-1])
    assert [item.id for item in tasks.list(page_num=2, page_size=2).items] == ids[:1]
    assert tasks.list(status="succeeded").total == 3
    assert tasks.list(status="failed").total == 0
    assert tasks.list(model="another").total == 0
    assert [item.id for item in tasks.list(task_ids=[ids[0]]).items] == ids[:1]


def test_a_finished_task_is_deleted(ark):
    task_id = created(ark)
    finished(ark, task_id)
    ark.content_generation.tasks.delete(task_id=task_id)
    with pytest.raises(ArkNotFoundError):
        ark.content_generation.tasks.get(task_id=task_id)


def test_images_are_made_in_one_answer_or_as_events(ark):
    image = ark.images.generate(model=IMAGE, prompt="a fox", size="1024x1024")
    assert (len(image.data), image.data[0].size) == (1, "1024x1024")
    assert requests.get(image.data[0].url, timeout=30).headers["Content-Type"].startswith("image/")
    assert image.usage.generated_images == 1
    events = list(ark.images.generate(model=IMAGE, prompt="a fox", stream=True))
    assert [event.type for event in events] == [
        "image_generation.partial_succeeded",
        "image_generation.completed",
    ]
    assert events[0].url
    assert events[1].usage["generated_images"] == 1


def test_chat_models_and_errors_are_arks(ark, gateway):
    model = "doubao-seed-1-6-251015"
    messages = [{"role": "user", "content": "Hello"}]
    answer = ark.chat.completions.create(model=model, messages=messages)
    assert answer.choices[0].message.content
    with pytest.raises(ArkBadRequestError) as caught:
        ark.content_generation.tasks.create(model=VIDEO, content=[{"type": "dance"}])
    assert (caught.value.code, caught.value.param) == ("InvalidParameter", "content[0]")
    with (
        pytest.raises(ArkAuthenticationError) as refused,
        Ark(base_url=f"{gateway.url}/api/v3", api_key="gw-unknown", max_retries=0) as unknown,
    ):
        unknown.chat.completions.create(model=model, messages=messages)
    assert refused.value.code == "AuthenticationError"
