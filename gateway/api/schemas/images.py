"""POST /v1/images/generations and /v1/images/edits."""

from __future__ import annotations

from typing import Any

from marshmallow import ValidationError, fields, validate

from gateway.api.schemas.fields import (
    Choice,
    Count,
    Flag,
    Images,
    RequestSchema,
    String,
    WholeNumber,
)
from gateway.domain.image_sizes import (
    LONGEST_PROMPT,
    MOST_IMAGES,
    RARE_RATIOS,
    RATIOS,
    SEEDS,
    size_of,
)
from gateway.domain.requests import ImageRequest

_MOST_OF_A_GROUP, _MOST_LAYERS = 15, 99
_NO_STYLE = frozenset({"", "通用", "auto", "vivid", "natural"})


class Size(fields.String):
    """`WxH`, `1K`…`4K`, `auto`, or a ratio, which some clients send here."""

    def __init__(self) -> None:
        super().__init__(metadata={"examples": ["1024x1024", "2K", "auto", "16:9"]})

    def _deserialize(self, value: Any, attr: Any, data: Any, **kw: Any) -> str:
        text = super()._deserialize(value, attr, data, **kw)
        try:
            return size_of(text or "")
        except ValueError as err:
            raise ValidationError(str(err)) from None


class Prompt(String):
    def __init__(self) -> None:
        super().__init__(LONGEST_PROMPT, required=True)
        self.validators.append(validate.Regexp(r"\s*\S", error="Must not be empty."))


class ImageRequestSchema(RequestSchema):
    prompt = Prompt()
    model = String(256, load_default="doubao-image")
    image = Images(load_default=())
    ratio = Choice(*RATIOS, *RARE_RATIOS)
    size = Size()
    style = String(200)
    n = WholeNumber(1, MOST_IMAGES, load_default=1)
    seed = WholeNumber(*SEEDS)
    watermark = Flag()
    response_format = Choice("url", "b64_json", load_default="url")
    output_format = Choice("png", "jpeg", "webp")
    quality = String()
    background = Choice("transparent", "opaque", "auto")
    group = Count(1, _MOST_OF_A_GROUP, default=_MOST_OF_A_GROUP)
    layers = Count(0, _MOST_LAYERS, default=0)
    optimize_prompt = Flag()
    partial_images = WholeNumber(0, 3)
    stream = Flag(load_default=False)
    asynchronous = Flag(data_key="async", load_default=False)

    def build(self, data: dict[str, Any]) -> ImageRequest:
        style = data.pop("style", "").strip()
        if style.lower() not in _NO_STYLE:
            data["prompt"] = f"{data['prompt']}\n风格：{style}"
        mask = data.pop("mask", ())
        data["mask"] = mask[0] if mask else None
        size = data.pop("size", "auto")
        if ":" in size:
            data.setdefault("ratio", size)
        elif size != "auto":
            data["size"] = size
        return ImageRequest(images=data.pop("image") + data.pop("images", ()), **data)


class ImageEditSchema(ImageRequestSchema):
    """Clients that ask for neither form look for `b64_json`, as OpenAI's newest models give it."""

    response_format = Choice("url", "b64_json", load_default="both")
    images = Images(load_default=())
    mask = Images(most=1, load_default=())

    def build(self, data: dict[str, Any]) -> ImageRequest:
        if not data["image"] and not data["images"]:
            raise ValidationError("Missing data for required field.", "image")
        return super().build(data)
