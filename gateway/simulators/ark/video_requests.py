"""Requests for video tasks, checked as strictly as Ark checks them, model by model."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from gateway.simulators.ark.media import FRAME, invalid, load_image, load_kind
from gateway.simulators.ark.models import VideoModel, video_model
from gateway.simulators.ark.protocol import ArkError
from gateway.simulators.fields import Fields
from gateway.simulators.media.media_info import MediaInfo

FPS = 24

_MB = 1024 * 1024
_KNOWN = frozenset(
    (
        *("model", "content", "resolution", "ratio", "duration", "frames", "seed"),
        *("camera_fixed", "watermark", "generate_audio", "return_last_frame", "callback_url"),
        *("service_tier", "execution_expires_after", "draft", "priority", "safety_identifier"),
        *("tools", "output_format", "omni_reference_task_type", "human_face_mode"),
        *("reasoning_effort", "optimize_prompt", "subdivision_level", "file_format"),
    )
)
_RATIOS = ("16:9", "4:3", "1:1", "3:4", "9:16", "21:9", "adaptive")
_ROLES = ("first_frame", "last_frame", "reference_image", "mask")
_NEWEST_ONLY = (
    *("human_face_mode", "reasoning_effort", "optimize_prompt", "subdivision_level"),
    "file_format",
)
_FLAG = re.compile(r"--([a-z]+)\s+(\S+)")
_FLAG_NAMES = {
    "rs": "resolution",
    "rt": "ratio",
    "dur": "duration",
    "cf": "camera_fixed",
    "camerafixed": "camera_fixed",
    "wm": "watermark",
}
# Width and height for the ratios 16:9, 4:3, 1:1 and 21:9; the upright ones mirror them.
_SIZES_1_0: Mapping[str, tuple[tuple[int, int], ...]] = MappingProxyType(
    {
        "480p": ((864, 480), (736, 544), (640, 640), (960, 416)),
        "720p": ((1248, 704), (1120, 832), (960, 960), (1504, 640)),
        "1080p": ((1920, 1088), (1664, 1248), (1440, 1440), (2176, 928)),
    }
)
_SIZES: Mapping[str, tuple[tuple[int, int], ...]] = MappingProxyType(
    {
        "480p": ((864, 496), (752, 560), (640, 640), (992, 432)),
        "720p": ((1280, 720), (1112, 834), (960, 960), (1470, 630)),
        "1080p": ((1920, 1080), (1664, 1248), (1440, 1440), (2206, 946)),
        "4k": ((3840, 2160), (3328, 2496), (2880, 2880), (4412, 1892)),
    }
)
_WIDE = ("16:9", "4:3", "1:1", "21:9")


@dataclass(frozen=True, slots=True)
class VideoRequest:
    """A checked request, with everything that the model chose filled in."""

    model: str
    prompt: str
    width: int
    height: int
    frames: int
    frames_asked: bool
    resolution: str
    ratio: str
    seed: int
    last_frame: bool
    sound: bool | None
    draft: bool
    tier: str
    expires_after_s: int
    priority: int
    callback_url: str | None
    safety_identifier: str | None
    draft_of: str | None
    quicktime: bool


@dataclass(frozen=True, slots=True)
class _Inputs:
    prompt: str
    images: tuple[tuple[str | None, MediaInfo], ...]
    videos: tuple[MediaInfo, ...]
    audios: int
    draft: str | None

    @property
    def references(self) -> bool:
        return bool(self.videos or self.audios) or any(
            role == "reference_image" for role, _ in self.images
        )


def read(body: Fields) -> VideoRequest:
    """Check a request to create a task; raises Ark's errors."""
    name = body.required_text("model")
    model = video_model(name)
    body.refuse_unknown(_KNOWN)
    inputs = _read_content(body)
    _check_scenario(body, model, inputs)
    asked = _with_flags(body, inputs.prompt)
    _refuse_unsupported(body, model)
    resolutions = model.resolutions[:2] if inputs.references and model.family == 10 else None
    resolution = asked.choice("resolution", resolutions or model.resolutions) or model.resolution
    ratio = _ratio(asked, model, inputs)
    table = _SIZES_1_0 if model.family == 10 else _SIZES
    wide = ratio if ratio in _WIDE else ":".join(reversed(ratio.split(":")))
    width, height = table[resolution][_WIDE.index(wide)]
    frames = _frames(asked, model)
    seed = asked.integer("seed", -1, 2**32 - 1)
    asked.flag("camera_fixed")
    asked.flag("watermark")
    sound = body.flag("generate_audio")
    return VideoRequest(
        model=name,
        prompt=inputs.prompt,
        width=width if wide == ratio else height,
        height=height if wide == ratio else width,
        frames=frames,
        frames_asked="frames" in asked,
        resolution=resolution,
        ratio=ratio,
        seed=secrets.randbelow(2**31) if seed in (None, -1) else seed or 0,
        last_frame=body.flag("return_last_frame") or False,
        sound=(sound is not False) if model.sound else None,
        draft=body.flag("draft") or False,
        tier=body.choice("service_tier", ("default", "flex", "priority")) or "default",
        expires_after_s=body.integer("execution_expires_after", 3600, 259_200) or 172_800,
        priority=body.integer("priority", 0, 9) or 0,
        callback_url=_callback(body),
        safety_identifier=body.text("safety_identifier", most=64),
        draft_of=inputs.draft,
        quicktime=body.data.get("output_format") == "mov",
    )


def _read_content(body: Fields) -> _Inputs:
    body.require("content")
    texts: list[str] = []
    images: list[tuple[str | None, MediaInfo]] = []
    videos: list[MediaInfo] = []
    audios, draft = 0, None
    for item in body.objects("content"):
        kind = item.required_text("type")
        if kind == "text":
            texts.append(item.required_text("text"))
        elif kind == "image_url":
            image = item.required_inner("image_url")
            role = item.choice("role", _ROLES)
            images.append((role, load_image(image.data.get("url", ""), image.at("url"), FRAME)))
        elif kind == "video_url":
            item.choice("role", ("reference_video",))
            video = _remote(item.required_inner("video_url"))
            videos.append(load_kind(video, "url", "video", 50 * _MB))
        elif kind == "audio_url":
            item.choice("role", ("reference_audio",))
            load_kind(item.required_inner("audio_url"), "url", "audio", 15 * _MB)
            audios += 1
        elif kind == "draft_task":
            draft = item.required_inner("draft_task").required_text("id")
        else:
            raise item.invalid("type", f"{kind!r} is not supported")
    return _Inputs(" ".join(texts), tuple(images), tuple(videos), audios, draft)


def _remote(video: Fields) -> Fields:
    if (video.text("url") or "").startswith("data:"):
        raise video.invalid("url", "must not be a data URL")
    return video


def _check_scenario(body: Fields, model: VideoModel, inputs: _Inputs) -> None:
    """See that the images play one of the three exclusive parts, and one the model knows."""
    if inputs.draft is not None:
        if not model.drafts or inputs.images or inputs.videos or inputs.audios:
            raise body.invalid("content", "draft_task is not supported here")
        return
    roles = [role for role, _ in inputs.images]
    if len(roles) > 1 and None in roles:
        raise body.invalid("content", "role must be specified for image contents")
    if inputs.references:
        if "first_frame" in roles or "last_frame" in roles or None in roles:
            raise body.invalid("content", "references cannot be mixed with first or last frames")
        _check_references(body, model, inputs)
        return
    if "last_frame" in roles and sorted(map(str, roles)) != ["first_frame", "last_frame"]:
        raise body.invalid("content", "a last frame needs exactly one first frame")
    if roles.count("first_frame") > 1 or len(roles) > 2:
        raise body.invalid("content", "has more than one first frame")
    if len(roles) == 2 and not model.last_frame:
        raise body.invalid("content", "last_frame is not supported by this model")
    if roles and not model.first_frame:
        raise body.invalid("content", "images are not supported by this model")
    if not roles and not model.text_only:
        raise body.invalid("content", "an image is required by this model")
    if not roles and not inputs.prompt.strip():
        raise body.invalid("content", "a text is required without an image")


def _check_references(body: Fields, model: VideoModel, inputs: _Inputs) -> None:
    given = (
        ("reference_image", len(inputs.images), model.references),
        ("reference_video", len(inputs.videos), model.reference_videos),
        ("reference_audio", inputs.audios, model.reference_audios),
    )
    for role, count, most in given:
        if count > most:
            raise body.invalid("content", f"{role} allows at most {most} with this model")
    lengths = [video.seconds for video in inputs.videos if video.seconds]
    if any(not 2 <= seconds <= model.video_s for seconds in lengths):
        raise body.invalid("content", f"a reference video must have 2 to {model.video_s} seconds")
    if sum(lengths) > model.video_s:
        raise body.invalid("content", f"reference videos exceed {model.video_s} seconds in all")


def _with_flags(body: Fields, prompt: str) -> Fields:
    """Return the body with the flags of the prompt (`--rs 720p`) where it has no such field.

    Flags are checked weakly: what cannot be read is as if it were not there.
    """
    merged = dict(body.data)
    for flag, text in _FLAG.findall(prompt):
        name = _FLAG_NAMES.get(flag, flag)
        if merged.get(name) is not None:
            continue
        if name in ("duration", "seed", "frames") and re.fullmatch(r"-?\d{1,10}", text):
            merged[name] = int(text)
        elif name in ("camera_fixed", "watermark") and text in ("true", "false"):
            merged[name] = text == "true"
        elif name == "resolution" or (name == "ratio" and text in _RATIOS):
            merged[name] = text
    return Fields(merged, lambda _, path, reason: invalid(path, reason))


def _refuse_unsupported(body: Fields, model: VideoModel) -> None:
    """Refuse the parameters that only other models have."""
    newest = model.family == 25
    offered = {
        "frames": model.frames,
        "camera_fixed": model.family == 10,
        "generate_audio": model.sound,
        "draft": model.drafts,
        "priority": model.priority,
        "tools": model.family >= 20,
        "output_format": newest,
        "omni_reference_task_type": newest,
        **dict.fromkeys(_NEWEST_ONLY, newest),
    }
    for name, known in offered.items():
        if name in body and not known:
            message = f"The parameter `{name}` is not supported by the current model."
            raise ArkError(400, "InvalidParameter.UnsupportedParameter", message, name)
    if body.data.get("service_tier") == "flex" and not model.flex:
        raise body.invalid("service_tier", "flex is not supported by the current model")
    body.choice("output_format", ("mp4", "mov"))
    task = body.choice("omni_reference_task_type", ("auto", "reference", "edit", "extend"))
    if task in ("edit", "extend"):
        if body.data.get("ratio") not in (None, "adaptive"):
            raise body.invalid("ratio", f"must be adaptive for the task {task}")
        if body.data.get("duration") not in (None, -1):
            raise body.invalid("duration", f"must be -1 for the task {task}")
        if not any(item.data.get("type") == "video_url" for item in body.objects("content")):
            raise body.invalid("content", f"needs a reference_video for the task {task}")
    body.choice("human_face_mode", ("strict", "relaxed"))
    body.choice("reasoning_effort", ("low", "medium", "high", "max"))
    body.choice("file_format", ("mp4", "glb"))
    body.flag("optimize_prompt")
    for tool in body.objects("tools"):
        tool.choice("type", ("web_search",))


def _ratio(asked: Fields, model: VideoModel, inputs: _Inputs) -> str:
    """Return the ratio of the result, with `adaptive` resolved as the model would."""
    given = asked.choice("ratio", _RATIOS)
    framed = bool(inputs.images) and not inputs.references
    if given == "adaptive" and not (framed or model.adaptive):
        raise asked.invalid("ratio", "adaptive needs an image with this model")
    if model.family == 25 and framed and given not in (None, "adaptive"):
        raise asked.invalid("ratio", "must be adaptive when the first frame is given")
    default = "adaptive" if framed or model.family > 10 else "16:9"
    ratio = given or default
    if ratio != "adaptive":
        return ratio
    if not inputs.images or not inputs.images[0][1].width:
        return "16:9"
    first = inputs.images[0][1]
    return min(_RATIOS[:-1], key=lambda one: abs(_value(one) - first.width / first.height))


def _value(ratio: str) -> float:
    width, _, height = ratio.partition(":")
    return int(width) / int(height)


def _frames(asked: Fields, model: VideoModel) -> int:
    """Return the number of frames; `frames` wins over `duration`."""
    frames = asked.integer("frames", 29, 289) if model.frames else None
    if frames is not None:
        if frames % 4 != 1:
            raise asked.invalid("frames", "must be 25 + 4n")
        return frames
    duration = asked.data.get("duration")
    if duration == -1 and model.chooses_duration:
        return model.least_s * FPS
    seconds = asked.integer("duration", model.least_s, model.most_s) or model.default_s
    return (seconds if seconds > 0 else model.least_s) * FPS


def _callback(body: Fields) -> str | None:
    url = body.text("callback_url")
    if url is not None and not url.startswith(("http://", "https://")):
        raise body.invalid("callback_url", "must be an http(s) URL")
    return url
