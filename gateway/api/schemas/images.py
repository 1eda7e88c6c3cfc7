"""POST /v1/images/generations and /v1/images/edits."""

from __future__ import annotations

import re
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
from gateway.domain.requests import ImageRequest

RATIOS = ("1:1", "16:9", "9:16", "4:3", "3:4", "3:2", "2:3", "21:9")
_SIZE = re.compile(r"(\d{2,5})\s*[xX*×]\s*(\d{2,5})")
_TIERS = {"1k": "1K", "1.5k": "1.5K", "2k": "2K", "3k": "3K", "4k": "4K", "512": "512"}
_NO_STYLE = frozenset({"", "通用", "auto", "vivid", "natural"})


class Size(fields.Field[str]):
    """`WxH`, `1K`…`4K`, `auto`, or a ratio, which some clients send here."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **_: Any) -> str:
        if not isinstance(value, str):
            raise ValidationError("must be a string such as 1024x1024, 2K or auto")
        text = value.strip().lower()
        if text in ("", "auto") or value in RATIOS:
            return value if value in RATIOS else "auto"
        if tier := _TIERS.get(text):
            return tier
        if match := _SIZE.fullmatch(text):
            width, height = int(match[1]), int(match[2])
            if width < 1 or height < 1 or max(width, height) > 8192:
                raise ValidationError("must not be larger than 8192x8192")
            if max(width, height) > 16 * min(width, height):
                raise ValidationError("must not be narrower than 1:16")
            return f"{width}x{height}"
        raise ValidationError("must be WIDTHxHEIGHT, 1K, 2K, 4K or auto")


class ImageRequestSchema(RequestSchema):
    prompt = Word(required=True, longest=32_000)
    model = Word(load_default="doubao-image", longest=256)
    image = ImagesField(load_default=())
    ratio = Word(*RATIOS)
    size = Size()
    style = Word(longest=200)
    n = Number(1, 10, whole=True, load_default=1)
    seed = Number(-1, 2**32 - 1, whole=True)
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

    n = TextNumber(1, 10, whole=True, load_default=1)
    seed = TextNumber(-1, 2**32 - 1, whole=True)
    watermark = TextFlag()
    stream = TextFlag(load_default=False)
    asynchronous = TextFlag(data_key="async", load_default=False)
    mask = ImagesField(load_default=())

    def build(self, data: dict[str, Any]) -> ImageRequest:
        if not data["image"]:
            raise ValidationError("Missing data for required field.", "image")
        return super().build(data)
