"""Ark's requests for images and video tasks.

https://www.volcengine.com/docs/82379/1541523 https://www.volcengine.com/docs/82379/1520757
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from marshmallow import ValidationError

from gateway.api.dialects.reading import Object, objects, optional_object, optional_text, text
from gateway.api.schemas.fields import (
    Choice,
    Flag,
    Images,
    Number,
    RequestSchema,
    String,
    WholeNumber,
)
from gateway.api.schemas.fields import (
    Object as ObjectField,
)
from gateway.api.schemas.images import Prompt, Size
from gateway.api.schemas.parts import media_ref
from gateway.domain.errors import InvalidRequest, MissingField
from gateway.domain.image_sizes import RATIOS, SEEDS
from gateway.domain.media import MediaKind
from gateway.domain.requests import (
    EarlierJob,
    ImageRequest,
    Reference,
    ReferenceRole,
    VideoRequest,
)
from gateway.services.jobs.records import job_id_of

_ROLES: Mapping[str, ReferenceRole] = {
    "first_frame": "first_frame",
    "last_frame": "last_frame",
    "reference_image": "reference",
    "reference_video": "reference",
    "reference_audio": "reference",
}
_MEDIA: Mapping[str, MediaKind] = {
    "image_url": "image",
    "video_url": "video",
    "audio_url": "audio",
}
_FPS = 24


class TaskSchema(RequestSchema):
    model = String(256, required=True)
    resolution = Choice("360p", "480p", "540p", "720p", "1080p", "2k", "4k")
    ratio = Choice("16:9", "4:3", "1:1", "3:4", "9:16", "21:9", "adaptive")
    duration = Number(-1, 60)
    frames = WholeNumber(29, 289)
    seed = WholeNumber(-1, 2**32 - 1)
    camera_fixed = Flag()
    watermark = Flag()
    generate_audio = Flag()
    return_last_frame = Flag()
    service_tier = String(64)
    draft = Flag()
    execution_expires_after = WholeNumber(3600, 259_200)
    callback_url = String(2048)
    omni_reference_task_type = Choice("auto", "reference", "edit", "extend")

    def read(self, document: Mapping[str, Any]) -> VideoRequest:
        data = self.loaded(document)
        items = document.get("content")
        if items is None:
            raise MissingField("content is required.", param="content")
        task = data.pop("omni_reference_task_type", "auto")
        prompt, references, earlier = _content(items, task)
        if data.get("seed") == -1:
            data.pop("seed")
        if frames := data.pop("frames", None):
            data["duration"] = float(frames // _FPS)
        data.pop("return_last_frame", None)  # there always is one
        if url := data.get("callback_url"):
            _check_web(url, "callback_url")
        frames = _frames(references)
        return VideoRequest(
            prompt=prompt,
            images=tuple(frame.media for frame in frames),
            audio=data.pop("generate_audio", None),
            references=() if frames else references,
            earlier_jobs=earlier,
            asynchronous=True,
            expires_after_s=data.pop("execution_expires_after", None),
            **data,
        )

    def unknown_in(self, document: Mapping[str, Any]) -> list[str]:
        return [name for name in super().unknown_in(document) if name != "content"]


def _check_web(url: str, path: str) -> None:
    if not url.startswith(("http://", "https://")):
        raise InvalidRequest(f"{path} must be an http or https URL.", param=path)


def _content(items: object, task: str) -> tuple[str, tuple[Reference, ...], tuple[EarlierJob, ...]]:
    """Prompt, media and earlier tasks of a task's content. Raises InvalidRequest."""
    texts: list[str] = []
    references: list[Reference] = []
    earlier: list[EarlierJob] = []
    for item, path in objects(items, "content"):
        kind = text(item, "type", path)
        if kind == "text":
            texts.append(text(item, "text", path))
        elif kind == "draft_task":
            draft = text(optional_object(item, "draft_task", path), "id", f"{path}.draft_task")
            earlier.append(EarlierJob("final_of", job_id_of(draft), f"{path}.draft_task.id"))
        elif kind in _MEDIA:
            references.append(_reference(item, kind, path, task))
        else:
            raise InvalidRequest(f"{path}.type {kind[:64]!r} is not supported.", param=path)
    if not (texts or references or earlier):
        raise MissingField("content must not be empty.", param="content")
    return " ".join(texts), tuple(references), tuple(earlier)


def _frames(references: tuple[Reference, ...]) -> tuple[Reference, ...]:
    """The references if they are a first frame, or a first and a last."""
    ordered = tuple(sorted(references, key=lambda reference: reference.role))
    roles = [reference.role for reference in ordered]
    return ordered if roles in (["first_frame"], ["first_frame", "last_frame"]) else ()


def _reference(item: Object, kind: str, path: str, task: str) -> Reference:
    role_name = optional_text(item, "role", path) or (
        "first_frame" if kind == "image_url" else "reference_image"
    )
    if role_name not in _ROLES:
        names = ", ".join(_ROLES)
        raise InvalidRequest(f"{path}.role must be one of {names}.", param=f"{path}.role")
    role = _ROLES[role_name]
    if kind == "video_url" and task in ("edit", "extend"):
        role = cast(ReferenceRole, task)
    return Reference(role, media_ref(item.get(kind), _MEDIA[kind], f"{path}.{kind}"))


class ImageSchema(RequestSchema):
    model = String(256, required=True)
    prompt = Prompt()
    image = Images(load_default=())
    size = Size()
    seed = WholeNumber(*SEEDS)
    watermark = Flag()
    response_format = Choice("url", "b64_json", load_default="url")
    output_format = Choice("png", "jpeg")
    background = Choice("transparent", "opaque")
    sequential_image_generation = Choice("auto", "disabled")
    sequential_image_generation_options = ObjectField()
    optimize_prompt_options = ObjectField()
    layer_decomposition = Flag()
    stream = Flag(load_default=False)

    def build(self, data: dict[str, Any]) -> ImageRequest:
        most = data.pop("sequential_image_generation_options", {}).get("max_images", 15)
        if not isinstance(most, int) or not 1 <= most <= 15:
            raise ValidationError(
                "max_images must be 1 to 15.", "sequential_image_generation_options"
            )
        if data.pop("sequential_image_generation", "disabled") == "auto":
            data["group"] = most
        if data.pop("optimize_prompt_options", None) is not None:
            data["optimize_prompt"] = True
        if data.pop("layer_decomposition", False):
            data["layers"] = 0
        size = data.pop("size", "auto")
        if size in RATIOS:
            data["ratio"] = size
        elif size != "auto":
            data["size"] = size
        return ImageRequest(images=data.pop("image"), **data)
