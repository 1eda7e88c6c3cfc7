"""Media inputs of Ark: fetched, decoded, and checked against limits."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.simulators.ark.protocol import ArkError
from gateway.simulators.fields import Fields
from gateway.simulators.media.inputs import Unreadable, load
from gateway.simulators.media.media_info import MediaInfo, describe

_MB = 1024 * 1024
_IMAGES = frozenset(
    f"image/{subtype}" for subtype in ("jpeg", "png", "webp", "bmp", "tiff", "gif", "heic", "heif")
)


@dataclass(frozen=True, slots=True)
class ImageLimits:
    """Limits of an endpoint for its input images. Sides and pixels are checked where known."""

    size_bytes: int
    least_side: int
    most_side: int
    most_pixels: int
    least_ratio: float
    most_ratio: float


REFERENCE = ImageLimits(30 * _MB, 15, 36_000_000, 36_000_000, 1 / 16, 16)
FRAME = ImageLimits(30 * _MB - 1, 300, 6000, 36_000_000, 0.4, 2.5)
CHAT = ImageLimits(30 * _MB, 1, 100_000, 36_000_000, 0, 1e9)


def load_image(url: object, at: str, limits: ImageLimits) -> MediaInfo:
    """Load the image that a URL or data URL names, and hold it to its limits."""
    if url == "":
        raise ArkError(400, "InvalidImageURL.EmptyURL", f"The URL of {at} is empty.", at)
    if not isinstance(url, str):
        raise invalid(at, "must be a string")
    seen = load_medium(url, at, limits.size_bytes)
    if seen.kind != "image" or seen.mime not in _IMAGES:
        raise _bad_image(at, f"{seen.mime} is not an image in a supported format")
    if seen.width:
        _check_size(seen, at, limits)
    return seen


def load_medium(url: str, at: str, limit: int) -> MediaInfo:
    """Load any medium; raises InvalidParameter if it is unreadable."""
    try:
        return describe(load(url, limit=limit).data)
    except Unreadable as error:
        if url.startswith("data:image/"):
            raise _bad_image(at, str(error)) from error
        raise invalid(at, str(error)) from error


def load_kind(part: Fields, name: str, kind: str, limit: int) -> MediaInfo:
    """Load the medium that a field names and see that it is a video, or audio."""
    at = part.at(name)
    seen = load_medium(part.required_text(name), at, limit)
    if seen.kind != kind:
        raise invalid(at, f"is {seen.mime}, not {kind}")
    return seen


def invalid(at: str, reason: str) -> ArkError:
    """Return the error for an input that cannot be used."""
    message = f"The parameter `{at}` specified in the request is not valid: {reason}."
    return ArkError(400, "InvalidParameter", message, at)


def _check_size(seen: MediaInfo, at: str, limits: ImageLimits) -> None:
    sides = seen.width, seen.height
    if min(sides) < limits.least_side or max(sides) > limits.most_side:
        least, most = limits.least_side, limits.most_side
        raise invalid(at, f"the sides of the image must be {least} to {most} px, got {sides}")
    if seen.width * seen.height > limits.most_pixels:
        raise invalid(at, f"the image must have at most {limits.most_pixels} pixels")
    if not limits.least_ratio <= seen.width / seen.height <= limits.most_ratio:
        raise invalid(at, "the aspect ratio of the image is out of range")


def _bad_image(at: str, reason: str) -> ArkError:
    message = f"The image of {at} cannot be used: {reason}."
    return ArkError(400, "InvalidImageURL.InvalidFormat", message, at)
