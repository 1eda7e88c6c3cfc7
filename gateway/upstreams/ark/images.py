"""Seedream: picture requests and answers. https://www.volcengine.com/docs/82379/1541523"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from gateway.domain.accounts import Account
from gateway.domain.errors import InvalidRequest
from gateway.domain.events import Event, MediaReady, Usage
from gateway.domain.image_sizes import Size, fit, of_ratio, parse_ratio, parse_size
from gateway.domain.media import Media
from gateway.domain.requests import ImageRequest
from gateway.net.fetch.fetcher import Fetcher
from gateway.upstreams.ark.errors import ENVELOPE
from gateway.upstreams.media_sources import UrlSource
from gateway.upstreams.openai.envelope import images_in
from gateway.upstreams.openai.messages import data_url
from gateway.upstreams.openai.usage import usage_of

_K = 1024 * 1024
_TIERS = {"1K": _K, "1.5K": 9 * _K // 4, "2K": 4 * _K, "3K": 9 * _K, "4K": 16 * _K}
_USUAL = 4 * _K
_MOST_ASPECT = 16


@dataclass(frozen=True, slots=True)
class Seedream:
    """What one generation of Seedream takes. `least` and `most` bound width times height."""

    least: int = 1
    most: int = 16 * _K
    tiers: tuple[str, ...] = ("2K",)
    references: int = 14
    formats: bool = False  # output_format: png or jpeg
    background: bool = False
    seed: bool = False


_MODELS = (
    (
        re.compile(r"seedream-5-0-(pro|flash)"),
        Seedream(921_600, 4_624_220, ("1K", "1.5K", "2K"), 10, formats=True, background=True),
    ),
    (
        re.compile(r"seedream-5-0"),
        Seedream(3_686_400, 16_777_216, ("2K", "3K", "4K"), formats=True),
    ),
    (re.compile(r"seedream-4-5"), Seedream(3_686_400, 16_777_216, ("2K", "4K"))),
    (re.compile(r"seedream-4-0"), Seedream(921_600, 16_777_216, ("1K", "2K", "4K"))),
    (re.compile(r"seedream-3-0"), Seedream(512 * 512, 2048 * 2048, (), 0, seed=True)),
)
_UNKNOWN = Seedream()  # a later generation, or an endpoint that hides its model


def seedream(model: str) -> Seedream:
    return next((traits for name, traits in _MODELS if name.search(model)), _UNKNOWN)


def image_body(request: ImageRequest, *, number: int = 0) -> dict[str, Any]:
    """The call for the `number`th of the pictures that were asked for.

    Raises InvalidRequest for a mask, for more references than the model takes, and for
    a shape outside 1:16 to 16:1.
    """
    model = seedream(request.model)
    if request.mask is not None:
        raise InvalidRequest(
            "Seedream takes no mask: say in the prompt what to change", param="mask"
        )
    if len(request.images) > model.references:
        raise InvalidRequest(
            f"{request.model} takes at most {model.references} reference pictures", param="image"
        )
    body: dict[str, Any] = {
        "model": request.model,
        "prompt": request.prompt,
        "response_format": "url",
        "watermark": bool(request.watermark),
    }
    if size := _size(request, model):
        body["size"] = size
    references = [data_url(image) for image in request.images if isinstance(image, Media)]
    if references:
        body["image"] = references[0] if len(references) == 1 else references
    if model.formats and request.output_format in ("png", "jpeg"):
        body["output_format"] = request.output_format
    if model.background and request.background in ("transparent", "opaque"):
        body["background"] = request.background
    if model.seed and request.seed is not None:
        body["seed"] = request.seed + number
    return body


def _size(request: ImageRequest, model: Seedream) -> str | None:
    """The size to ask for; None leaves it to the model.

    Clients of OpenAI's API ask for 1024x1024 and less, which new models refuse: such
    sizes are scaled into the model's range. A ratio takes its pixels from the tier.
    """
    exact = parse_size(request.size)
    if exact:
        _check_shape(exact, "size")
        return str(fit(exact, model.least, model.most))
    tier = (request.size or "").upper()
    if tier not in _TIERS:
        if tier not in ("", "AUTO"):
            raise InvalidRequest("The size must be WIDTHxHEIGHT, 1K, 2K, 4K or auto", param="size")
        tier = ""
    if request.ratio:
        ratio = parse_ratio(request.ratio)
        _check_shape(Size(*ratio), "ratio")
        pixels = min(max(_TIERS.get(tier, _USUAL), model.least), model.most)
        return str(fit(of_ratio(ratio, pixels, least=model.least), model.least, model.most))
    if not tier:
        return None
    if not model.tiers:
        return str(fit(of_ratio((1, 1), _TIERS[tier]), model.least, model.most))
    return min(model.tiers, key=lambda known: abs(_TIERS[known] - _TIERS[tier]))


def _check_shape(size: Size, param: str) -> None:
    if not 1 / _MOST_ASPECT <= size.aspect <= _MOST_ASPECT:
        raise InvalidRequest("The picture may be at most 16 times as long as wide", param=param)


def read_pictures(answer: Any, account: Account, fetcher: Fetcher) -> tuple[list[Event], Usage]:
    """The pictures of one answer. Raises when it has none, with the reason Ark gives."""
    if error := ENVELOPE.reported(answer, account):
        raise error
    pictures: list[Event] = []
    for entry in images_in(answer):
        url = entry.get("url")
        if url and isinstance(url, str):
            pictures.append(MediaReady("image", UrlSource(fetcher, url, "image/jpeg")))
        elif error := ENVELOPE.reported(entry, account):
            raise error
    if not pictures:
        raise ENVELOPE.invalid("has no picture")
    usage = usage_of(answer.get("usage"))
    usage.images = len(pictures)
    return pictures, usage
