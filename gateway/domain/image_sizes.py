"""Sizes and ratios of images: the forms that callers write, and arithmetic on them."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.domain.errors import InvalidRequest

RATIOS = ("1:1", "16:9", "9:16", "4:3", "3:4", "3:2", "2:3", "21:9")
RARE_RATIOS = ("4:5", "5:4", "1:4", "4:1", "1:8", "8:1")  # which some models make
MOST_IMAGES = 10
MOST_REFERENCES = 16
SEEDS = (-1, 2**32 - 1)
LONGEST_PROMPT = 32_000  # characters
_ASKED_SIZE = re.compile(r"(\d{2,5})\s*[xX*×]\s*(\d{2,5})")
_ASKED_RATIO = re.compile(r"(\d{1,4}):(\d{1,4})")
_TIERS = {"1k": "1K", "1.5k": "1.5K", "2k": "2K", "3k": "3K", "4k": "4K", "512": "512"}
_SIZE = re.compile(r"\s*(\d{1,5})\s*[xX*×]\s*(\d{1,5})\s*")
_RATIO = re.compile(r"\s*(\d{1,4})\s*[:：]\s*(\d{1,4})\s*")
_GRID = 16
_LONGEST_SIDE = 8192
_MOST_ASPECT = 16
_SHAPE_TOLERANCE = 0.02  # sides are whole numbers of pixels
_PIXEL_TOLERANCE = 0.2  # and may have to divide by 16


def size_of(text: str) -> str:
    """`WxH`, `1K`…`4K`, `auto`, or a ratio, which some clients send here. Raises ValueError."""
    if text in RATIOS or text in RARE_RATIOS:
        return text
    bare = text.strip().lower()
    if bare in ("", "auto"):
        return "auto"
    if tier := _TIERS.get(bare):
        return tier
    if match := _ASKED_SIZE.fullmatch(bare):
        width, height = int(match[1]), int(match[2])
        if width < 1 or height < 1 or max(width, height) > _LONGEST_SIDE:
            raise ValueError(f"must not be larger than {_LONGEST_SIDE}x{_LONGEST_SIDE}")
        if max(width, height) > _MOST_ASPECT * min(width, height):
            raise ValueError(f"must not be narrower than 1:{_MOST_ASPECT}")
        return f"{width}x{height}"
    raise ValueError("must be WIDTHxHEIGHT, 1K, 2K, 4K or auto")


def ratio_of(text: str) -> str:
    """`W:H`, one of `RATIOS` or not. Raises ValueError."""
    match = _ASKED_RATIO.fullmatch(text.strip())
    if match is None or not int(match[1]) or not int(match[2]):
        raise ValueError("must look like 16:9")
    width, height = int(match[1]), int(match[2])
    if max(width, height) > _MOST_ASPECT * min(width, height):
        raise ValueError(f"must not be narrower than 1:{_MOST_ASPECT}")
    return f"{width}:{height}"


@dataclass(frozen=True, slots=True)
class Size:
    """Width and height in pixels."""

    width: int
    height: int

    def __str__(self) -> str:
        return f"{self.width}x{self.height}"

    @property
    def pixels(self) -> int:
        return self.width * self.height

    @property
    def aspect(self) -> float:
        return self.width / self.height


def parse_size(text: str | None) -> Size | None:
    """`WxH` as a size; None for anything else, such as `2K` or `auto`."""
    found = _SIZE.fullmatch(text or "")
    if not found:
        return None
    size = Size(int(found[1]), int(found[2]))
    return size if size.pixels else None


def parse_ratio(text: str) -> tuple[int, int]:
    """`W:H` in lowest terms. Raises InvalidRequest."""
    found = _RATIO.fullmatch(text)
    if not found or not int(found[1]) or not int(found[2]):
        raise InvalidRequest(f"The ratio must look like 16:9, not {text!r}", param="ratio")
    divisor = math.gcd(int(found[1]), int(found[2]))
    return int(found[1]) // divisor, int(found[2]) // divisor


def nearest_ratio(aspect: float, ratios: Sequence[str]) -> str:
    """The one of `ratios` (`W:H`) whose shape is most like that of width by height `aspect`."""

    def distance(ratio: str) -> float:
        across, down = parse_ratio(ratio)
        return abs(math.log(aspect * down / across))

    return min(ratios, key=distance)


def of_ratio(ratio: tuple[int, int], pixels: int, *, least: int = 1) -> Size:
    """The largest size of exactly this shape with at most `pixels` and sides that divide by 16.

    Takes the next larger one when that would be fewer than `least` pixels.
    """
    across, down = ratio
    steps = math.isqrt(pixels // (across * down)) // _GRID
    if (steps * _GRID) ** 2 * across * down < least or not steps:
        steps += 1
    return Size(across * steps * _GRID, down * steps * _GRID)


def fit(size: Size, least: int, most: int) -> Size:
    """The size scaled, in its shape, into `least` to `most` pixels."""
    if size.pixels < least:
        factor = math.sqrt(least / size.pixels)
        width = math.ceil(size.width * factor - 1e-6)
        return Size(width, max(math.ceil(size.height * factor - 1e-6), math.ceil(least / width)))
    if size.pixels > most:
        factor = math.sqrt(most / size.pixels)
        width = max(int(size.width * factor), 1)
        return Size(width, max(min(int(size.height * factor), most // width), 1))
    return size


def as_asked(sent: Size, size: str | None, ratio: str | None, tiers: Mapping[str, int]) -> bool:
    """Tell whether `sent` is what `size` (exact, or one of `tiers` in pixels) and `ratio` say."""
    if exact := parse_size(size):
        return sent == exact
    pixels = tiers.get((size or "").upper(), sent.pixels)
    across, down = parse_ratio(ratio) if ratio else (sent.width, sent.height)
    like = abs(math.log(sent.aspect * down / across)) < _SHAPE_TOLERANCE
    return like and abs(math.log(sent.pixels / pixels)) < _PIXEL_TOLERANCE


def contradicts(size: str | None, ratio: str | None) -> bool:
    """Tell whether an exact size, which wins, has another shape than `ratio`."""
    exact = parse_size(size)
    return exact is not None and ratio is not None and not as_asked(exact, None, ratio, {})
