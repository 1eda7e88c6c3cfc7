"""Sizes of images and videos in pixels.

https://ai.google.dev/gemini-api/docs/image-generation, https://ai.google.dev/gemini-api/docs/omni
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import log

from gateway.simulators.media.media_info import MediaInfo

# At 1K.
_PIXELS: Mapping[str, tuple[int, int]] = {
    "1:1": (1024, 1024),
    "2:3": (848, 1264),
    "3:2": (1264, 848),
    "3:4": (896, 1200),
    "4:3": (1200, 896),
    "4:5": (928, 1152),
    "5:4": (1152, 928),
    "9:16": (768, 1376),
    "16:9": (1376, 768),
    "21:9": (1584, 672),
    "1:4": (512, 2064),
    "4:1": (2064, 512),
    "1:8": (352, 2928),
    "8:1": (2928, 352),
}
_SCALES: Mapping[str, float] = {"512": 0.5, "1K": 1, "2K": 2, "4K": 4}

RATIOS = ("1:1", "2:3", "3:2", "3:4", "4:3", "4:5", "5:4", "9:16", "16:9", "21:9")
EXTREME_RATIOS = ("1:4", "4:1", "1:8", "8:1")
SIZES = tuple(_SCALES)

_LINES: Mapping[str, tuple[int, int]] = {
    "360p": (640, 360),
    "720p": (1280, 720),
    "1080p": (1920, 1080),
    "4k": (3840, 2160),
}
VIDEO_RATIOS = ("16:9", "9:16")
RESOLUTIONS = tuple(_LINES)


def image_size(ratio: str | None, size: str | None, seen: Sequence[MediaInfo]) -> tuple[int, int]:
    """Return width and height; without a ratio an image is shaped like the first one given."""
    width, height = _PIXELS[ratio or _ratio_of(seen)]
    scale = _SCALES[size or "1K"]
    return round(width * scale), round(height * scale)


def video_size(ratio: str, resolution: str) -> tuple[int, int]:
    """Return width and height."""
    width, height = _LINES[resolution]
    return (width, height) if ratio == "16:9" else (height, width)


def _ratio_of(seen: Sequence[MediaInfo]) -> str:
    image = next((one for one in seen if one.width and one.height), None)
    if image is None:
        return "1:1"
    wanted = log(image.width / image.height)
    return min(RATIOS, key=lambda ratio: abs(log(_PIXELS[ratio][0] / _PIXELS[ratio][1]) - wanted))
