"""Videos by the Interactions API: bodies of requests, and what became of an interaction.

https://ai.google.dev/gemini-api/docs/omni
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.domain.accounts import Account
from gateway.domain.errors import (
    ContentFiltered,
    GatewayError,
    InvalidRequest,
    JobFailed,
    UpstreamInvalidResponse,
)
from gateway.domain.events import tokens_of
from gateway.domain.image_sizes import parse_size
from gateway.domain.media import Media
from gateway.domain.requests import VideoRequest
from gateway.net.codecs.json_body import Base64
from gateway.upstreams.base import with_frames
from gateway.upstreams.errors import redact
from gateway.upstreams.openai.envelope import listed

_RATIOS = ("16:9", "9:16")
_RESOLUTIONS = {"360p": 360, "720p": 720, "1080p": 1080, "4k": 2160}  # lines
_SHORTEST_S = 3
_LONGEST_S = {"1.1": 10, "1.2": 15}  # by version of the model
_VERSION = re.compile(r"omni-(\d+\.\d+)")
_RUNNING = frozenset({"queued", "in_progress"})
_ENDED = frozenset({"completed", "failed", "incomplete", "cancelled", "budget_exceeded"})
_FILE = re.compile(r"/files/([\w-]{1,64})(?::download)?(?:\?|$)")
_BLOCKED = re.compile(r"safety|policy|prohibited|blocked|recitation", re.IGNORECASE)


def video_body(request: VideoRequest) -> dict[str, Any]:
    """The interaction that makes the video. Raises InvalidRequest for what the model cannot do."""
    request = with_frames(request)
    frames = [image for image in request.images if isinstance(image, Media)]
    if len(frames) > 1:
        raise InvalidRequest(
            f"{request.model} takes one picture, the first frame", param="image[1]"
        )
    body: dict[str, Any] = {
        "model": request.model,
        "input": [*map(_frame, frames), {"type": "text", "text": request.prompt}],
        "background": True,
        "store": True,
        "response_format": {"type": "video", "delivery": "uri", **_format(request)},
    }
    config: dict[str, Any] = {}
    if frames:
        config["video_config"] = {"task": "image_to_video"}
    if request.seed is not None:
        config["seed"] = request.seed % 2**31
    if config:
        body["generation_config"] = config
    return body


def _frame(image: Media) -> dict[str, Any]:
    return {"type": "image", "data": Base64(image.blob), "mime_type": image.mime_type}


def _format(request: VideoRequest) -> dict[str, str]:
    wanted: dict[str, str] = {}
    ratio, resolution = request.ratio, request.resolution
    if size := parse_size(request.size):
        ratio = "16:9" if size.width >= size.height else "9:16"
        lines = min(size.width, size.height)
        nearest = min(_RESOLUTIONS, key=lambda name: abs(_RESOLUTIONS[name] - lines))
        resolution = resolution or nearest
    if ratio is not None:
        if ratio not in _RATIOS:
            raise InvalidRequest(f"{request.model} takes {' and '.join(_RATIOS)}", param="ratio")
        wanted["aspect_ratio"] = ratio
    if resolution is not None:
        if resolution.lower() not in _RESOLUTIONS:
            raise InvalidRequest(
                f"{request.model} takes {', '.join(_RESOLUTIONS)}", param="resolution"
            )
        wanted["resolution"] = resolution.lower()
    if request.duration is not None:
        wanted["duration"] = f"{_duration(request):g}s"
    return wanted


def _duration(request: VideoRequest) -> float:
    seconds = request.duration or 0
    version = _VERSION.search(request.model)
    longest = _LONGEST_S.get(version[1] if version else "", max(_LONGEST_S.values()))
    if not _SHORTEST_S <= seconds <= longest:
        raise InvalidRequest(
            f"{request.model} makes videos of {_SHORTEST_S} to {longest} seconds", param="duration"
        )
    return seconds


@dataclass(frozen=True, slots=True)
class Video:
    """A finished video: in the answer as base64 `data`, or stored at `uri`."""

    mime_type: str
    data: str | None
    uri: str | None

    @property
    def file_id(self) -> str | None:
        """The id of the vendor's file behind `uri`, if it is one."""
        match = _FILE.search(self.uri or "")
        return match[1] if match else None


def video_of(interaction: Mapping[str, Any], account: Account) -> Video | None:
    """The video of an interaction, None while it is being made.

    Raises JobFailed or ContentFiltered when there will be none, and UpstreamInvalidResponse
    when that cannot be told: a status of tomorrow is no failure.
    """
    status = interaction.get("status")
    if status in _RUNNING:
        return None
    if status == "completed" or status not in _ENDED:
        for part in _outputs(interaction):
            data, uri = _text(part.get("data")), _text(part.get("uri"))
            if part.get("type") == "video" and (data or uri):
                return Video(_text(part.get("mime_type")) or "video/mp4", data, uri)
    raise _failure(interaction, account)


def output_tokens(interaction: Mapping[str, Any]) -> int:
    """Tokens billed for the video."""
    usage = interaction.get("usage")
    if not isinstance(usage, dict):
        return 0
    return tokens_of(usage.get("total_output_tokens")) + tokens_of(
        usage.get("total_thought_tokens")
    )


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _outputs(interaction: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for step in listed(interaction.get("steps")):
        if step.get("type") == "model_output":
            yield from listed(step.get("content"))


def _failure(interaction: Mapping[str, Any], account: Account) -> GatewayError:
    """The error for an interaction that ended without a video."""
    status = interaction.get("status")
    if status not in _ENDED:
        return UpstreamInvalidResponse("Gemini's status of the video is not known", sent=True)
    if status == "cancelled":
        return JobFailed("the video was cancelled at Gemini", code="cancelled", sent=True)
    errors = listed(interaction.get("errors"))
    codes = [str(error.get("code")) for error in errors]
    said = [error.get("message") for error in errors]
    said += [part.get("text") for part in _outputs(interaction)]
    reason = redact(" ".join(filter(None, map(_text, said))), account.secret.reveal())
    if any(_BLOCKED.search(code) for code in codes):
        return ContentFiltered(f"Gemini blocked the video: {reason or codes[0]}", sent=True)
    has_video = any(part.get("type") == "video" for part in _outputs(interaction))
    if status == "completed" and (has_video or not reason):
        return UpstreamInvalidResponse("Gemini finished the video without giving it", sent=True)
    return JobFailed(f"Gemini made no video: {reason or status}", sent=True)
