"""Seedance: video tasks. https://www.volcengine.com/docs/82379/1520757"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

from gateway.domain.accounts import Account
from gateway.domain.errors import InvalidRequest, JobFailed, TaskExpired
from gateway.domain.image_sizes import Size, parse_ratio, parse_size
from gateway.domain.jobs import VideoTask
from gateway.domain.media import Media
from gateway.domain.requests import VideoRequest
from gateway.net.fetch.fetcher import Fetcher
from gateway.upstreams.ark.errors import ENVELOPE, VENDOR, job_error
from gateway.upstreams.base import with_frames
from gateway.upstreams.media_sources import UrlSource
from gateway.upstreams.openai.messages import data_url
from gateway.upstreams.openai.usage import usage_of

_ADAPTIVE = "adaptive"
_RATIOS = ("16:9", "4:3", "1:1", "3:4", "9:16", "21:9")
_SHORT_SIDES = {"480p": 480, "720p": 720, "1080p": 1080, "4k": 2160}
_ROLES = ("first_frame", "last_frame")


@dataclass(frozen=True, slots=True)
class Seedance:
    """Limits of one generation of Seedance."""

    shortest_s: int
    longest_s: int
    resolutions: tuple[str, ...] = ("480p", "720p", "1080p")
    frames: tuple[int, ...] = (0, 1, 2)  # how many pictures may be given
    open_end: bool = True  # a duration of -1: the model chooses
    audio: bool = True
    frames_set_ratio: bool = False  # with a picture, the ratio is the picture's


_FIRST = Seedance(2, 12, open_end=False, audio=False)
_MODELS = (
    (re.compile("seedance-1-0-lite-t2v"), replace(_FIRST, frames=(0,))),
    (re.compile("seedance-1-0-lite-i2v"), replace(_FIRST, frames=(1, 2))),
    (re.compile("seedance-1-0-pro-fast"), replace(_FIRST, frames=(0, 1))),
    (re.compile("seedance-1-0"), _FIRST),
    (re.compile("seedance-1-5"), Seedance(4, 12)),
    (re.compile("seedance-2-0-(fast|mini)"), Seedance(4, 15, ("480p", "720p"))),
    (re.compile("seedance-2-0"), Seedance(4, 15, ("480p", "720p", "1080p", "4k"))),
    (re.compile("seedance-2-5"), Seedance(4, 30, frames_set_ratio=True)),
)
# A later generation, or an endpoint that hides its model: the vendor is the judge.
_UNKNOWN = Seedance(1, 3600, tuple(_SHORT_SIDES))


def seedance(model: str) -> Seedance:
    return next((traits for name, traits in _MODELS if name.search(model)), _UNKNOWN)


def video_options(model: str) -> tuple[str, ...]:
    """Return the `base.OPTIONS` that the model takes."""
    taken = ("seed", "watermark", "execution_expires_after")
    return (*taken, "generate_audio") if seedance(model).audio else taken


def video_body(request: VideoRequest) -> dict[str, Any]:
    """The task to create. Raises InvalidRequest for what the model does not take."""
    model = seedance(request.model)
    request = with_frames(request)
    if len(request.images) not in model.frames:
        allowed = " or ".join(str(count) for count in model.frames)
        raise InvalidRequest(f"{request.model} takes {allowed} pictures as frames", param="image")
    content: list[dict[str, Any]] = []
    if request.prompt:
        content.append({"type": "text", "text": request.prompt})
    for image, role in zip(request.images, _ROLES, strict=False):
        if isinstance(image, Media):
            content.append(
                {"type": "image_url", "image_url": {"url": data_url(image)}, "role": role}
            )
    body: dict[str, Any] = {
        "model": request.model,
        "content": content,
        "ratio": _ratio(request, model),
        "watermark": bool(request.watermark),
        "return_last_frame": True,
    }
    if resolution := _resolution(request, model):
        body["resolution"] = resolution
    if request.duration is not None:
        body["duration"] = _seconds(request.duration, request.model, model)
    if request.seed is not None:
        body["seed"] = request.seed
    if request.expires_after_s is not None:
        body["execution_expires_after"] = request.expires_after_s
    if model.audio and request.audio is not None:
        body["generate_audio"] = request.audio
    return body


def _ratio(request: VideoRequest, model: Seedance) -> str:
    if request.images and model.frames_set_ratio:
        return _ADAPTIVE
    if size := parse_size(request.size):
        return min(_RATIOS, key=lambda ratio: abs(Size(*parse_ratio(ratio)).aspect - size.aspect))
    if request.ratio is None:
        return _ADAPTIVE if request.images else _RATIOS[0]
    if request.ratio not in (*_RATIOS, _ADAPTIVE):
        raise InvalidRequest(f"The ratio must be one of {', '.join(_RATIOS)}", param="ratio")
    return request.ratio


def _resolution(request: VideoRequest, model: Seedance) -> str | None:
    if request.resolution is not None:
        if request.resolution.lower() in model.resolutions:
            return request.resolution.lower()
        raise InvalidRequest(
            f"The resolution of {request.model} must be one of {', '.join(model.resolutions)}",
            param="resolution",
        )
    size = parse_size(request.size)
    if size is None:
        return None
    short = min(size.width, size.height)
    return min(model.resolutions, key=lambda name: abs(_SHORT_SIDES[name] - short))


def _seconds(duration: float, name: str, model: Seedance) -> int:
    if duration == -1 and model.open_end:
        return -1
    if not model.shortest_s <= duration <= model.longest_s or duration != int(duration):
        raise InvalidRequest(
            f"The duration of {name} must be {model.shortest_s} to {model.longest_s} whole seconds",
            param="duration",
        )
    return int(duration)


def read_task(task: Any, account: Account, fetcher: Fetcher) -> VideoTask:
    """Read a task's record. Raises JobFailed, ContentFiltered, UpstreamInvalidResponse."""
    if not isinstance(task, dict):
        raise ENVELOPE.invalid("is no JSON object")
    match task.get("status"):
        case "queued" | "running":
            return VideoTask(running=True)
        case "succeeded":
            return _finished(task, fetcher)
        case "failed":
            reason = ENVELOPE.refusal(0, {}, task)
            raise job_error(reason.code, reason.message, account)
        case "expired":
            raise TaskExpired(f"{VENDOR} did not finish the video within its time limit")
        case "cancelled":
            raise JobFailed(f"The video was cancelled at {VENDOR}")
    raise ENVELOPE.invalid("has a task status that is not known")


def _finished(task: dict[str, Any], fetcher: Fetcher) -> VideoTask:
    content = task.get("content")
    links = content if isinstance(content, dict) else {}
    url, cover = links.get("video_url"), links.get("last_frame_url")
    if not isinstance(url, str) or not url:
        raise ENVELOPE.invalid("says that the video is done, but not where it is")
    still = UrlSource(fetcher, cover, "image/png") if cover and isinstance(cover, str) else None
    return VideoTask(
        running=False,
        percent=100,
        video=UrlSource(fetcher, url, "video/mp4"),
        cover=still,
        completion_tokens=usage_of(task.get("usage")).completion_tokens,
    )
