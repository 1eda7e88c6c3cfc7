"""`/contents/generations/tasks` of Ark: videos are made by tasks that are asked for later."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial

from flask import Blueprint, Response, request

from gateway.simulators.ark.callbacks import announce
from gateway.simulators.ark.media import invalid
from gateway.simulators.ark.protocol import ArkError, open_call, open_json_call
from gateway.simulators.ark.video_requests import FPS, VideoRequest, read
from gateway.simulators.ark.video_tasks import Tasks
from gateway.simulators.calls import Call, json_response
from gateway.simulators.media.images import generate_image
from gateway.simulators.media.videos import generate_video
from gateway.simulators.state import current_state

bp = Blueprint("videos", __name__, url_prefix="/contents/generations")

_MOST_PAGES = 500
_ACCOUNT_QPS = 20
_STATUSES = ("queued", "running", "cancelled", "succeeded", "failed", "expired")


@bp.post("/tasks")
@bp.post("/tasks/<path:rest>")
def create(rest: str = "") -> Response:
    """Queue a video; POSTs to any path below are accepted too, as at the vendor."""
    call, body = open_json_call("ark.videos.create")
    order = _with_draft(read(body), call)
    if "blocked" in call.behaviour:
        message = "The request failed because the input text may contain sensitive information."
        raise ArkError(400, "InputTextSensitiveContentDetected", message)
    tasks = current_state().store(Tasks)
    task = tasks.create(call.credential, call.behaviour, order, _results(call, order))
    announce(task, lambda: tasks.find(task.id))
    return json_response({"id": task.id})


@bp.get("/tasks")
def list_tasks() -> Response:
    """List the account's tasks, newest first, by page and filter."""
    call = open_call("ark.videos.list", main=False)
    tasks = current_state().store(Tasks)
    tasks.pace(call.credential, "list", 1)
    now, args = time.time(), request.args
    wanted = args.getlist("filter.task_ids")
    status = args.get("filter.status")
    if status is not None and status not in _STATUSES:
        raise invalid("filter.status", f"must be one of {', '.join(_STATUSES)}")
    found = [
        task
        for task in tasks.owned(call.credential)
        if (not wanted or task.id in wanted)
        and status in (None, task.status(now))
        and args.get("filter.model", task.order.model) == task.order.model
        and args.get("filter.service_tier", task.order.tier) == task.order.tier
    ]
    number, size = _page("page_num", 1), _page("page_size", 20)
    page = found[(number - 1) * size : number * size]
    return json_response({"total": len(found), "items": [task.view(now) for task in page]})


@bp.get("/tasks/<task_id>")
def get(task_id: str) -> Response:
    """Show one task."""
    call = open_call("ark.videos.get", main=False)
    tasks = current_state().store(Tasks)
    tasks.pace(call.credential, "get", _ACCOUNT_QPS)
    return json_response(tasks.get(task_id, call.credential).view(time.time()))


@bp.delete("/tasks/<task_id>")
def remove(task_id: str) -> Response:
    """Cancel a queued task, or forget a finished one."""
    call = open_call("ark.videos.delete", main=False)
    tasks = current_state().store(Tasks)
    tasks.pace(call.credential, "delete", _ACCOUNT_QPS)
    tasks.remove(task_id, call.credential)
    return json_response({})


def _with_draft(order: VideoRequest, call: Call) -> VideoRequest:
    """Return a request for a final video with the prompt, ratio and length of its draft."""
    if order.draft_of is None:
        return order
    task = current_state().store(Tasks).get(order.draft_of, call.credential)
    if not task.order.draft or task.status(time.time()) != "succeeded":
        raise invalid("content", f"{order.draft_of} is not a finished draft")
    if task.order.model != order.model:
        raise invalid("model", "must be the model of the draft")
    wide, tall = order.width, order.height
    if (task.order.width > task.order.height) != (wide > tall):
        wide, tall = tall, wide
    return replace(
        order,
        prompt=task.order.prompt,
        frames=task.order.frames,
        ratio=task.order.ratio,
        seed=task.order.seed,
        width=wide,
        height=tall,
    )


def _results(call: Call, order: VideoRequest) -> tuple[str, str | None]:
    """Sign the URLs under which the video, and its last frame if asked for, will be found."""
    media, gone = current_state().media, "gone" in call.behaviour
    late = call.behaviour.words.get("latelink", 0)
    # The vendor makes one frame more than it says.
    seconds = (order.frames + 1) / FPS
    made = partial(
        generate_video,
        order.width,
        order.height,
        seconds,
        FPS,
        seed=order.prompt,
        sound=order.sound or False,
        quicktime=order.quicktime,
    )
    video = media.put(made, *_container(order), gone=gone, late=late)
    if not order.last_frame:
        return video, None
    last = partial(generate_image, order.prompt, order.width, order.height)
    return video, media.put(last, "image/png", "last_frame.png", gone=gone)


def _container(order: VideoRequest) -> tuple[str, str]:
    """Return the media type and the name of the file."""
    if order.quicktime:
        return "video/quicktime", "video.mov"
    return "video/mp4", "video.mp4"


def _page(name: str, default: int) -> int:
    value = request.args.get(name, default, int)
    if not 1 <= value <= _MOST_PAGES:
        raise invalid(name, f"must be between 1 and {_MOST_PAGES}")
    return value
