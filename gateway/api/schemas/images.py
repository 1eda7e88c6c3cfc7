"""POST /v1/images/generations and /v1/images/edits."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, fields

from gateway.api.schemas.fields import (
    Flag,
    ImagesField,
    Number,
    RequestSchema,
    TextFlag,
    TextNumber,
    Word,
)
from gateway.domain.image_sizes import LONGEST_PROMPT, MOST_IMAGES, RATIOS, SEEDS, size_of
from gateway.domain.requests import ImageRequest

_NO_STYLE = frozenset({"", "通用", "auto", "vivid", "natural"})


class Size(fields.Field[str]):
    """`WxH`, `1K`…`4K`, `auto`, or a ratio, which some clients send here."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **_: Any) -> str:
        if not isinstance(value, str):
            raise ValidationError("must be a string such as 1024x1024, 2K or auto")
        try:
            return size_of(value)
        except ValueError as err:
            raise ValidationError(str(err)) from None


class ImageRequestSchema(RequestSchema):
    prompt = Word(required=True, longest=LONGEST_PROMPT)
    model = Word(load_default="doubao-image", longest=256)
    image = ImagesField(load_default=())
    ratio = Word(*RATIOS)
    size = Size()
    style = Word(longest=200)
    n = Number(1, MOST_IMAGES, whole=True, load_default=1)
    seed = Number(*SEEDS, whole=True)
    watermark = Flag()
    response_format = Word("url", "b64_json", load_default="url")
    output_format = Word("png", "jpeg", "webp")
    quality = Word()
    background = Word("transparent", "opaque", "auto")
    stream = Flag(load_default=False)
    asynchronous = Flag(data_key="async", load_default=False)

    def build(self, data: dict[str, Any]) -> ImageRequest:
        if not data["prompt"].strip():
            raise ValidationError("must not be empty", "prompt")
        style = data.pop("style", "").strip()
        if style.lower() not in _NO_STYLE:
            data["prompt"] = f"{data['prompt']}\n风格：{style}"
        mask = data.pop("mask", ())
        data["mask"] = mask[0] if mask else None
        size = data.pop("size", "auto")
        if size in RATIOS:
            data.setdefault("ratio", size)
        elif size != "auto":
            data["size"] = size
        return ImageRequest(images=data.pop("image"), **data)


class ImageEditSchema(ImageRequestSchema):
    """The same from a multipart form, whose values are text."""

    n = TextNumber(1, MOST_IMAGES, whole=True, load_default=1)
    seed = TextNumber(*SEEDS, whole=True)
    watermark = TextFlag()
    stream = TextFlag(load_default=False)
    asynchronous = TextFlag(data_key="async", load_default=False)
    mask = ImagesField(most=1, load_default=())

    def build(self, data: dict[str, Any]) -> ImageRequest:
        if not data["image"]:
            raise ValidationError("Missing data for required field.", "image")
        return super().build(data)
