"""Requests for interactions: read, checked, and their media loaded.

https://ai.google.dev/api/interactions-api
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.simulators.fields import Fields, Problem
from gateway.simulators.gemini.media import inline, referenced
from gateway.simulators.gemini.models import Model
from gateway.simulators.gemini.sizes import (
    EXTREME_RATIOS,
    RATIOS,
    RESOLUTIONS,
    VIDEO_RATIOS,
)
from gateway.simulators.google.errors import GoogleError
from gateway.simulators.media.inputs import Unreadable, decode_base64
from gateway.simulators.media.media_info import MediaInfo

_KNOWN = frozenset(
    (
        "model",
        "input",
        "system_instruction",
        "generation_config",
        "response_format",
        "response_mime_type",
        "response_modalities",
        "previous_interaction_id",
        "store",
        "background",
        "stream",
        "tools",
        "safety_settings",
        "service_tier",
        "webhook_config",
        "labels",
        "continuation_token",
        "cached_content",
        "environment",
    )
)
_CONFIG = frozenset(
    (
        "max_output_tokens",
        "seed",
        "temperature",
        "top_p",
        "stop_sequences",
        "thinking_level",
        "thinking_summaries",
        "tool_choice",
        "video_config",
        "image_config",
        "speech_config",
        "transcription_config",
    )
)
_NOT_FOR_VIDEOS = ("temperature", "top_p", "stop_sequences")
_TASKS = ("text_to_video", "image_to_video", "reference_to_video", "edit", "extend", "upscale")
_MEDIA = ("image", "video", "audio", "document")
_CONTENT = frozenset(
    (
        "type",
        "data",
        "mime_type",
        "uri",
        "resolution",
        "name",
        "processing",
        "channels",
        "sample_rate",
    )
)
_OTHER_STEPS = ("thought", "function_call", "function_result")
_DURATION = re.compile(r"(\d{1,3}(?:\.\d{1,9})?)s")
_MOST_REFERENCES = 6
_SHORTEST_S = 3
_LONGEST_S: Mapping[str, int] = {"gemini-omni-1.1-flash": 10, "gemini-omni-1.2-flash": 15}
_USUAL_S = 8


@dataclass(frozen=True, slots=True)
class InteractionRequest:
    """A checked request. `shown` is the input as the interaction repeats it."""

    model: Model
    text: str
    turns: int
    seen: tuple[MediaInfo, ...]
    shown: tuple[dict[str, Any], ...]
    background: bool
    store: bool
    stream: bool
    previous: str | None
    ratio: str | None
    size: str | None
    task: str | None
    seconds: float
    by_uri: bool
    jpeg: bool
    schema: dict[str, Any] | None
    most_tokens: int | None


def refusal(problem: Problem, path: str, reason: str) -> GoogleError:
    """Return the surface's error for a field."""
    if problem == "unknown":
        return GoogleError(400, f"Unknown parameter '{path}'.", slug="parameter_unknown")
    return GoogleError(400, f"The value of '{path}' {reason}.", slug="invalid_request")


def read_order(body: Fields, model: Model, credential: str) -> InteractionRequest:
    """Check a request; raises GoogleError."""
    body.refuse_unknown(_KNOWN)
    store, background = body.flag("store"), body.flag("background") or False
    if background and store is False:
        raise body.invalid("background", "needs store")
    config = body.inner("generation_config") or Fields({}, refusal)
    config.refuse_unknown(_CONFIG)
    _check_config(body, config, model)
    contents = list(_contents(body, credential))
    seen = tuple(medium for _, _, medium in contents if medium is not None)
    task = _read_task(body, config, seen, model)
    texts = [shown["text"] for role, shown, _ in contents if role == "user" and "text" in shown]
    wanted = _format(body)
    image = config.inner("image_config") or wanted
    return InteractionRequest(
        model=model,
        text=texts[-1] if texts else "",
        turns=_count_turns(body),
        seen=seen,
        shown=tuple(shown for role, shown, _ in contents if role == "user"),
        background=background,
        store=store is not False,
        stream=body.flag("stream") or False,
        previous=body.text("previous_interaction_id"),
        ratio=_ratio(image, model),
        size=_size(image, model),
        task=task,
        seconds=_seconds(wanted, model),
        by_uri=wanted.choice("delivery", ("inline", "uri")) == "uri",
        jpeg=model.kind == "image" and wanted.text("mime_type") != "image/png",
        schema=_schema(wanted),
        most_tokens=config.integer("max_output_tokens", 1, 2**31),
    )


def _check_config(body: Fields, config: Fields, model: Model) -> None:
    config.number("temperature", 0, 2)
    config.number("top_p", 0, 1)
    config.integer("seed", -(2**31), 2**31 - 1)
    body.text("system_instruction")
    if model.kind != "video":
        return
    for name in _NOT_FOR_VIDEOS:
        if name in config:
            raise config.invalid(name, f"is not supported by {model.id}")
    if "system_instruction" in body:
        raise body.invalid("system_instruction", f"is not supported by {model.id}")


def _read_task(
    body: Fields, config: Fields, seen: tuple[MediaInfo, ...], model: Model
) -> str | None:
    video = config.inner("video_config")
    images = sum(1 for medium in seen if medium.kind == "image")
    if model.kind == "video" and images > _MOST_REFERENCES:
        raise refusal("invalid", "input", f"has more than {_MOST_REFERENCES} images")
    if video is None:
        return None
    if model.kind != "video":
        raise config.invalid("video_config", f"is not supported by {model.id}")
    task = video.choice("task", _TASKS)
    if task in ("image_to_video", "reference_to_video") and not images:
        raise video.invalid("task", "needs an image in the input")
    source = "previous_interaction_id" in body or any(one.kind == "video" for one in seen)
    if task in ("edit", "extend", "upscale") and not source:
        raise video.invalid("task", "needs a video in the input, or previous_interaction_id")
    return task


def _format(body: Fields) -> Fields:
    """Return the one format that is wanted, an empty one when none is."""
    given = body.data.get("response_format")
    if isinstance(given, list):
        formats = list(body.objects("response_format"))
        return formats[0] if formats else Fields({}, refusal, "response_format")
    return body.inner("response_format") or Fields({}, refusal, "response_format")


def _ratio(wanted: Fields, model: Model) -> str | None:
    if model.kind == "video":
        return wanted.choice("aspect_ratio", VIDEO_RATIOS)
    extreme = EXTREME_RATIOS if model.extreme_ratios else ()
    return wanted.choice("aspect_ratio", RATIOS + extreme)


def _size(wanted: Fields, model: Model) -> str | None:
    if model.kind == "video":
        return wanted.choice("resolution", RESOLUTIONS)
    return wanted.choice("image_size", model.sizes)


def _seconds(wanted: Fields, model: Model) -> float:
    if model.kind != "video":
        return 0
    if wanted.choice("type", ("video",)) is None and wanted.data:
        raise wanted.invalid("type", "must be video")
    given = wanted.text("duration")
    if given is None:
        return _USUAL_S
    match, longest = _DURATION.fullmatch(given), _LONGEST_S[model.id]
    if match is None or not _SHORTEST_S <= float(match[1]) <= longest:
        raise wanted.invalid("duration", f"must be between {_SHORTEST_S}s and {longest}s")
    return float(match[1])


def _schema(wanted: Fields) -> dict[str, Any] | None:
    if wanted.data.get("mime_type") != "application/json":
        return None
    schema = wanted.inner("schema")
    return schema.data if schema else {"type": "object"}


def _count_turns(body: Fields) -> int:
    steps = body.data.get("input")
    if not isinstance(steps, list):
        return 1
    marked = sum(1 for step in steps if isinstance(step, dict) and step["type"] == "user_input")
    return marked or 1


def _contents(
    body: Fields, credential: str
) -> Iterator[tuple[str, dict[str, Any], MediaInfo | None]]:
    """Yield role, repeated form and medium of each content, in any form of input."""
    body.require("input")
    given = body.data["input"]
    if isinstance(given, str):
        yield "user", {"type": "text", "text": given}, None
        return
    items = body.objects("input") if isinstance(given, list) else [body.required_inner("input")]
    for item in items:
        kind = item.required_text("type")
        if kind in ("user_input", "model_output"):
            role = "user" if kind == "user_input" else "model"
            for content in item.objects("content"):
                yield (role, *_content(content, credential))
        elif kind not in _OTHER_STEPS:
            yield ("user", *_content(item, credential))


def _content(content: Fields, credential: str) -> tuple[dict[str, Any], MediaInfo | None]:
    kind = content.required_text("type")
    if kind == "text":
        content.refuse_unknown(("type", "text", "annotations"))
        return {"type": "text", "text": content.required_text("text")}, None
    if kind not in _MEDIA:
        raise GoogleError(
            400, f"The value '{kind}' is not supported for 'type' at '{content.path}'."
        )
    content.refuse_unknown(_CONTENT)
    mime, data, uri = content.text("mime_type"), content.text("data"), content.text("uri")
    if (data is None) == (uri is None):
        raise content.invalid("data", "or uri is needed, and not both")
    shown = {"type": kind, "mime_type": mime, "uri": uri}
    shown = {name: value for name, value in shown.items() if value is not None}
    if uri is not None:
        return shown, referenced({"fileUri": uri, "mimeType": mime or ""}, credential, "input")
    try:
        blob = {"mimeType": mime or "", "data": decode_base64(data or "")}
    except Unreadable as problem:
        raise content.invalid("data", "is not valid base64") from problem
    return shown, inline(blob, "input")
