"""Requests for images: shapes and sizes that Gemini's image models know.

https://ai.google.dev/gemini-api/docs/image-generation
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.domain.errors import InvalidRequest
from gateway.domain.image_sizes import nearest_ratio, parse_size
from gateway.domain.media import Media
from gateway.domain.requests import ImageRequest
from gateway.upstreams.gemini.contents import media_part

_RATIOS = ("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9")
_LONG_RATIOS = ("1:4", "4:1", "1:8", "8:1")
_TIERS = ("512", "1K", "2K", "4K")
# The most pixels that are still nearer to a tier than to the next, which has four times as many.
_TIER_PIXELS = ((2.1e6, "1K"), (8.4e6, "2K"))


def references(request: ImageRequest) -> list[Media]:
    """The images to start from. Raises InvalidRequest for a mask, which has no place."""
    if request.mask is not None:
        raise InvalidRequest("Gemini's image models take no mask", param="mask")
    return [image for image in request.images if isinstance(image, Media)]


def image_body(request: ImageRequest, uris: Mapping[str, str]) -> dict[str, Any]:
    """The `generateContent` request for one image. `uris` are those of uploaded references."""
    parts = [media_part(image, uris) for image in references(request)]
    parts.append({"text": request.prompt})
    config: dict[str, Any] = {"responseModalities": ["IMAGE"]}
    if shape := _shape(request):
        config["imageConfig"] = shape
    if request.seed is not None:
        config["seed"] = request.seed % 2**31
    return {"contents": [{"role": "user", "parts": parts}], "generationConfig": config}


def _shape(request: ImageRequest) -> dict[str, str]:
    allowed = _RATIOS + _LONG_RATIOS if "3.1-flash-image" in request.model else _RATIOS
    shape: dict[str, str] = {}
    size = request.size if request.size != "auto" else None
    if wanted := parse_size(size):
        tier = next((tier for most, tier in _TIER_PIXELS if wanted.pixels <= most), _TIERS[-1])
        return {"aspectRatio": nearest_ratio(wanted.aspect, allowed), "imageSize": tier}
    if size is not None:
        if size.upper() not in _TIERS:
            raise InvalidRequest(
                f"Gemini makes {', '.join(_TIERS)}, or give WIDTHxHEIGHT", param="size"
            )
        shape["imageSize"] = size.upper()
    if request.ratio is not None:
        if request.ratio not in allowed:
            raise InvalidRequest(f"{request.model} makes {', '.join(allowed)}", param="ratio")
        shape["aspectRatio"] = request.ratio
    return shape
