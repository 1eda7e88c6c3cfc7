"""Seedream: image requests and answers. https://www.volcengine.com/docs/82379/1541523"""

from __future__ import annotations

from typing import Any

from gateway.domain.accounts import Account
from gateway.domain.errors import InvalidRequest
from gateway.domain.events import Event, MediaReady, Usage
from gateway.domain.image_sizes import (
    Size,
    as_asked,
    fit,
    of_ratio,
    parse_ratio,
    parse_size,
)
from gateway.domain.media import Media
from gateway.domain.models import ModelFacts
from gateway.domain.requests import ImageRequest
from gateway.net.fetch.fetcher import Fetcher
from gateway.upstreams.ark.errors import ENVELOPE
from gateway.upstreams.media_sources import InlineSource, from_url
from gateway.upstreams.openai.envelope import images_in
from gateway.upstreams.openai.messages import data_url
from gateway.upstreams.openai.usage import usage_of

_K = 1024 * 1024
_TIERS = {"1K": _K, "1.5K": 9 * _K // 4, "2K": 4 * _K, "3K": 9 * _K, "4K": 16 * _K}
_USUAL = 4 * _K
_MOST_ASPECT = 16
_OPTIONS = frozenset(
    {"watermark", "seed", "output_format", "background", "group", "layers", "optimize_prompt"}
)


def image_body(
    request: ImageRequest, facts: ModelFacts | None, *, number: int = 0
) -> dict[str, Any]:
    """The call for the `number`th of the images that were asked for.

    A model of which nothing is known gets everything as it was given.
    Raises InvalidRequest for a mask, for more references than the model takes, and for
    a ratio outside 1:16 to 16:1.
    """
    if request.mask is not None:
        raise InvalidRequest(
            "Seedream takes no mask: say in the prompt what to change", param="mask"
        )
    most = facts.references.get("image", 0) if facts and facts.references else None
    if most is not None and len(request.images) > most:
        raise InvalidRequest(
            f"{request.model} takes at most {most} reference images", param="image"
        )
    body: dict[str, Any] = {
        "model": request.model,
        "prompt": request.prompt,
        "response_format": "url",
        "watermark": bool(request.watermark),
    }
    if size := _size(request, facts):
        body["size"] = size
    references = [data_url(image) for image in request.images if isinstance(image, Media)]
    if references:
        body["image"] = references[0] if len(references) == 1 else references
    return body | _options(request, facts, number)


def image_options(request: ImageRequest, facts: ModelFacts | None) -> frozenset[str]:
    """Names of the optional parameters that the model takes, in the values that were given."""
    taken = _OPTIONS if facts is None else facts.options
    if facts is not None and request.output_format not in (None, "png", "jpeg"):
        taken -= {"output_format"}
    if facts is not None and request.background not in (None, "transparent", "opaque"):
        taken -= {"background"}
    return taken


def changed(request: ImageRequest, facts: ModelFacts | None) -> list[str]:
    """Parameters that the model takes with another value, as `size=2K`."""
    found = []
    size = _size(request, facts)
    sent = parse_size(size)
    if sent is None:
        as_it_is = size is None or size == (request.size or "").upper()
    else:
        as_it_is = as_asked(sent, request.size, request.ratio, _TIERS)
    if not as_it_is:
        found.append(f"size={size}")
    taken = image_options(request, facts)
    if "group" in taken and request.group not in (None, _most_of_group(request, facts)):
        found.append(f"group={_most_of_group(request, facts)}")
    if "layers" in taken and request.layers:
        found.append("layers=true")  # how many is the model's choice
    if "optimize_prompt" in taken and request.optimize_prompt is False:
        found.append("optimize_prompt=fast")
    return found


def check_shape(request: ImageRequest, facts: ModelFacts | None) -> None:
    """Raise InvalidRequest for a size that cannot be made, and a background that has no image."""
    _size(request, facts)
    if request.background != "transparent" or facts is None:
        return
    only = request.images[0] if len(request.images) == 1 else None
    if not isinstance(only, Media) or only.mime_type != "image/png":
        message = f"{request.model} makes a background transparent in exactly one PNG image."
        raise InvalidRequest(message, param="background")
    if request.output_format not in (None, "png"):
        message = "A transparent background needs the output_format png."
        raise InvalidRequest(message, param="output_format")


def _most_of_group(request: ImageRequest, facts: ModelFacts | None) -> int | None:
    """The images of a set, of which the references take their share."""
    if request.group is None or facts is None or facts.group is None:
        return request.group
    return max(1, min(request.group, facts.group - len(request.images)))


def _options(request: ImageRequest, facts: ModelFacts | None, number: int) -> dict[str, Any]:
    taken = image_options(request, facts)
    found: dict[str, Any] = {}
    for name in ("output_format", "background"):
        if name in taken and (value := getattr(request, name)) is not None:
            found[name] = value
    if found.get("background") == "transparent":
        found.setdefault("output_format", "png")
    if "seed" in taken and request.seed is not None:
        found["seed"] = request.seed + number if request.seed >= 0 else request.seed
    if "group" in taken and request.group is not None:
        found["sequential_image_generation"] = "auto"
        found["sequential_image_generation_options"] = {
            "max_images": _most_of_group(request, facts)
        }
    if "layers" in taken and request.layers is not None:
        found["layer_decomposition"] = True
    if "optimize_prompt" in taken and request.optimize_prompt is not None:
        mode = "standard" if request.optimize_prompt else "fast"
        found["optimize_prompt_options"] = {"mode": mode}
    return found


def _size(request: ImageRequest, facts: ModelFacts | None) -> str | None:
    """The size to ask for; None leaves it to the model.

    Clients of OpenAI's API ask for 1024x1024 and less, which new models refuse: such
    sizes are scaled into the model's range. A ratio takes its pixels from the tier.
    """
    least, most = facts.pixels if facts and facts.pixels else (1, _TIERS["4K"])
    exact = parse_size(request.size)
    if exact:
        _check_aspect(exact, "size", facts)
        return str(fit(exact, least, most)) if facts else str(exact)
    tier = (request.size or "").upper()
    if tier not in _TIERS:
        if tier not in ("", "AUTO"):
            raise InvalidRequest("The size must be WIDTHxHEIGHT, 1K, 2K, 4K or auto", param="size")
        tier = ""
    if request.ratio:
        ratio = parse_ratio(request.ratio)
        _check_aspect(Size(*ratio), "ratio", facts)
        pixels = min(max(_TIERS.get(tier, _USUAL), least), most)
        return str(fit(of_ratio(ratio, pixels, least=least), least, most))
    if not tier:
        return None
    if facts is None:
        return tier
    if not facts.sizes:
        return str(fit(of_ratio((1, 1), _TIERS[tier]), least, most))
    return min(facts.sizes, key=lambda known: abs(_TIERS[known] - _TIERS[tier]))


def _check_aspect(size: Size, param: str, facts: ModelFacts | None) -> None:
    most = (facts.aspect if facts else None) or _MOST_ASPECT
    if not 1 / most <= size.aspect <= most:
        raise InvalidRequest(f"The image may be at most {most} times as long as wide", param=param)


def read_images(answer: Any, account: Account, fetcher: Fetcher) -> tuple[list[Event], Usage]:
    """The images of one answer. Raises when it has none, with the reason Ark gives."""
    if error := ENVELOPE.reported(answer, account):
        raise error
    images: list[Event] = []
    for entry in images_in(answer):
        url, text = entry.get("url"), entry.get("b64_json")
        if url and isinstance(url, str):
            images.append(MediaReady("image", from_url(fetcher, url, "image/jpeg")))
        elif text and isinstance(text, str):
            images.append(MediaReady("image", InlineSource(text, "image/jpeg")))
        elif error := ENVELOPE.reported(entry, account):
            raise error
    if not images:
        raise ENVELOPE.no_image(answer, account)
    usage = usage_of(answer.get("usage"))
    usage.images = len(images)
    return images, usage
