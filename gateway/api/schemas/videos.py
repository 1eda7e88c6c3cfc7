"""POST /v1/video/generations, and the same request in the shape of /v1/videos."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError

from gateway.api.schemas.fields import (
    Choice,
    Flag,
    Images,
    RequestSchema,
    Seconds,
    String,
    WholeNumber,
)
from gateway.api.schemas.images import Prompt, Size
from gateway.api.schemas.references import Earlier, Frame, References
from gateway.domain.image_sizes import SEEDS
from gateway.domain.requests import EarlierJob, Reference, VideoRequest

_FRAMES = ("first_frame", "last_frame")
_EARLIER = ("edit_of", "extend_of", "final_of")
RATIOS = ("16:9", "9:16", "1:1", "4:3", "3:4", "3:2", "2:3", "21:9", "adaptive")


class VideoRequestSchema(RequestSchema):
    prompt = Prompt()
    model = String(256, load_default="doubao-video")
    image = Images(load_default=())
    input_reference = Images(load_default=())
    ratio = Choice(*RATIOS)
    duration = Seconds(1, 60)
    seconds = Seconds(1, 60)
    resolution = Choice("360p", "480p", "540p", "720p", "1080p", "2k", "4k")
    size = Size()
    seed = WholeNumber(*SEEDS)
    watermark = Flag()
    generate_audio = Flag()
    first_frame = Frame("first_frame")
    last_frame = Frame("last_frame")
    references = References()
    edit_of = Earlier("edit_of")
    extend_of = Earlier("extend_of")
    final_of = Earlier("final_of")
    draft = Flag()
    camera_fixed = Flag()
    service_tier = String(64)
    stream = Flag(load_default=False)
    asynchronous = Flag(data_key="async", load_default=False)

    def build(self, data: dict[str, Any]) -> VideoRequest:
        images = data.pop("image") + data.pop("input_reference")
        if len(images) > 2:
            raise ValidationError("Takes the first frame, or the first and the last.", "image")
        seconds = data.pop("seconds", None)
        data.setdefault("duration", seconds)
        size = data.pop("size", "auto")
        if "x" in size:
            data["size"] = size
        elif size in RATIOS:
            data.setdefault("ratio", size)
        elif size != "auto":
            raise ValidationError("Must be WIDTHxHEIGHT; see also resolution and ratio.", "size")
        if "size" not in data:
            data.setdefault("ratio", "16:9")
        frames = [data.pop(name) for name in _FRAMES if name in data]
        if images and frames:
            raise ValidationError("Stands beside first_frame or last_frame.", "image")
        earlier = [data.pop(name) for name in _EARLIER if name in data]
        references = (*frames, *data.pop("references", ()))
        return VideoRequest(
            images=images,
            audio=data.pop("generate_audio", None),
            references=(*references, *(item for item in earlier if isinstance(item, Reference))),
            earlier_jobs=tuple(item for item in earlier if isinstance(item, EarlierJob)),
            **data,
        )
