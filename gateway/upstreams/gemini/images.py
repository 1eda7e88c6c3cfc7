"""Requests for images: shapes and sizes that Gemini's image models know.

https://ai.google.dev/gemini-api/docs/image-generation
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.domain.errors import InvalidRequest
from gateway.domain.image_sizes import nearest_ratio, parse_size
from gateway.domain.media import Media
from gateway.domain.models import ModelFacts
from gateway.domain.requests import ImageRequest
from gateway.upstreams.gemini.contents import media_part

_RATIOS = ("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9")
_TIERS = ("512", "1K", "2K", "4K")
# The most pixels that are still nearer to a tier than to the next, which has four times as many.
_TIER_PIXELS = ((2.1e6, "1K"), (8.4e6, "2K"))
_SEEDS = 2**31


def references(request: ImageRequest) -> list[Media]:
    """The images to start from. Raises InvalidRequest for a mask, which has no place."""
    if request.mask is not None:
        raise InvalidRequest("Gemini's image models take no mask", param="mask")
    return [image for image in request.images if isinstance(image, Media)]


def image_body(
    request: ImageRequest, uris: Mapping[str, str], facts: ModelFacts | None
) -> dict[str, Any]:
    """The `generateContent` request for one image. `uris` are those of uploaded references."""
    parts = [media_part(image, uris) for image in references(request)]
    parts.append({"text": request.prompt})
    config: dict[str, Any] = {"responseModalities": ["IMAGE"]}
    if shape := shape_of(request, facts):
        config["imageConfig"] = shape
    if request.seed is not None and request.seed >= 0:
        config["seed"] = request.seed % _SEEDS
    return {"contents": [{"role": "user", "parts": parts}], "generationConfig": config}


def changed(request: ImageRequest, facts: ModelFacts | None) -> list[str]:
    """Parameters that the model takes with another value, as `size=2K`."""
    found = []
    if parse_size(request.size):
        shape = shape_of(request, facts)
        found += [f"size={shape['imageSize']}", f"ratio={shape['aspectRatio']}"]
    if request.seed is not None and request.seed >= _SEEDS:
        found.append(f"seed={request.seed % _SEEDS}")
    return found


def shape_of(request: ImageRequest, facts: ModelFacts | None) -> dict[str, str]:
    """The nearest shape and size to an exact one; else what was asked for.

    Raises InvalidRequest for what the model is known not to make.
    """
    ratios = facts.ratios if facts and facts.ratios else _RATIOS
    tiers = facts.sizes if facts and facts.sizes else _TIERS
    size = request.size if request.size != "auto" else None
    if wanted := parse_size(size):
        near = next((tier for most, tier in _TIER_PIXELS if wanted.pixels <= most), "4K")
        tier = near if near in tiers else tiers[-1]
        return {"aspectRatio": nearest_ratio(wanted.aspect, ratios), "imageSize": tier}
    shape: dict[str, str] = {}
    if size is not None:
        if size.upper() not in tiers:
            message = f"{request.model} makes {', '.join(tiers)}, or give WIDTHxHEIGHT"
            raise InvalidRequest(message, param="size")
        shape["imageSize"] = size.upper()
    if request.ratio is not None:
        if facts is not None and request.ratio not in ratios:
            raise InvalidRequest(f"{request.model} makes {', '.join(ratios)}", param="ratio")
        shape["aspectRatio"] = request.ratio
    return shape
