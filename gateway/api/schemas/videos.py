"""POST /v1/video/generations, and the same request in the shape of /v1/videos."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError

from gateway.api.schemas.fields import (
    Duration,
    Flag,
    ImagesField,
    Number,
    RequestSchema,
    TextFlag,
    TextNumber,
    Word,
)
from gateway.api.schemas.images import Size
from gateway.domain.image_sizes import LONGEST_PROMPT, SEEDS
from gateway.domain.requests import VideoRequest

RATIOS = ("16:9", "9:16", "1:1", "4:3", "3:4", "3:2", "2:3", "21:9", "adaptive")


class VideoRequestSchema(RequestSchema):
    prompt = Word(required=True, longest=LONGEST_PROMPT)
    model = Word(load_default="doubao-video", longest=256)
    image = ImagesField(load_default=())
    input_reference = ImagesField(load_default=())
    ratio = Word(*RATIOS)
    duration = Duration(1, 60)
    seconds = Duration(1, 60)
    resolution = Word("360p", "480p", "540p", "720p", "1080p", "2k", "4k")
    size = Size()
    seed = Number(*SEEDS, whole=True)
    watermark = Flag()
    generate_audio = Flag()
    stream = Flag(load_default=False)
    asynchronous = Flag(data_key="async", load_default=False)

    def build(self, data: dict[str, Any]) -> VideoRequest:
        if not data["prompt"].strip():
            raise ValidationError("must not be empty", "prompt")
        images = data.pop("image") + data.pop("input_reference")
        if len(images) > 2:
            raise ValidationError("takes the first frame, or the first and the last", "image")
        seconds = data.pop("seconds", None)
        data.setdefault("duration", seconds)
        size = data.pop("size", "auto")
        if "x" in size:
            data["size"] = size
        elif size in RATIOS:
            data.setdefault("ratio", size)
        elif size != "auto":
            raise ValidationError("must be WIDTHxHEIGHT; see also resolution and ratio", "size")
        if "size" not in data:
            data.setdefault("ratio", "16:9")
        audio = data.pop("generate_audio", None)
        return VideoRequest(images=images, audio=audio, **data)


class VideoFormSchema(VideoRequestSchema):
    """The same from a multipart form, whose values are text."""

    seed = TextNumber(*SEEDS, whole=True)
    watermark = TextFlag()
    generate_audio = TextFlag()
    stream = TextFlag(load_default=False)
    asynchronous = TextFlag(data_key="async", load_default=False)
