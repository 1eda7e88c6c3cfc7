"""How callers write the size and the shape of a picture, and the limits of what they may ask."""

from __future__ import annotations

import re

RATIOS = ("1:1", "16:9", "9:16", "4:3", "3:4", "3:2", "2:3", "21:9")
MOST_PICTURES = 10
MOST_REFERENCES = 16
SEEDS = (-1, 2**32 - 1)
LONGEST_PROMPT = 32_000  # characters
_SIZE = re.compile(r"(\d{2,5})\s*[xX*×]\s*(\d{2,5})")
_RATIO = re.compile(r"(\d{1,4}):(\d{1,4})")
_TIERS = {"1k": "1K", "1.5k": "1.5K", "2k": "2K", "3k": "3K", "4k": "4K", "512": "512"}
_LONGEST_SIDE = 8192
_MOST_ASPECT = 16


def size_of(text: str) -> str:
    """`WxH`, `1K`…`4K`, `auto`, or a ratio, which some clients send here. Raises ValueError."""
    if text in RATIOS:
        return text
    bare = text.strip().lower()
    if bare in ("", "auto"):
        return "auto"
    if tier := _TIERS.get(bare):
        return tier
    if match := _SIZE.fullmatch(bare):
        width, height = int(match[1]), int(match[2])
        if width < 1 or height < 1 or max(width, height) > _LONGEST_SIDE:
            raise ValueError(f"must not be larger than {_LONGEST_SIDE}x{_LONGEST_SIDE}")
        if max(width, height) > _MOST_ASPECT * min(width, height):
            raise ValueError(f"must not be narrower than 1:{_MOST_ASPECT}")
        return f"{width}x{height}"
    raise ValueError("must be WIDTHxHEIGHT, 1K, 2K, 4K or auto")


def ratio_of(text: str) -> str:
    """`W:H`, one of `RATIOS` or not. Raises ValueError."""
    match = _RATIO.fullmatch(text.strip())
    if match is None or not int(match[1]) or not int(match[2]):
        raise ValueError("must look like 16:9")
    width, height = int(match[1]), int(match[2])
    if max(width, height) > _MOST_ASPECT * min(width, height):
        raise ValueError(f"must not be narrower than 1:{_MOST_ASPECT}")
    return f"{width}:{height}"
