"""Image and video requests from the last turn of a chat."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal

from gateway.domain import image_sizes
from gateway.domain.errors import InvalidRequest
from gateway.domain.media import MediaRef
from gateway.domain.requests import ChatRequest, ImageRequest, Message, VideoRequest

MediaKind = Literal["image", "video"]
_USED = {
    "image": frozenset({"n", "seed", "image_config", "modalities"}),
    "video": frozenset({"seed", "modalities"}),
}
_MAX_FRAMES = 2


def media_request(request: ChatRequest, kind: MediaKind) -> ImageRequest | VideoRequest:
    """Request whose prompt is the last user turn, with its images as references.

    Raises InvalidRequest for what the image and video endpoints refuse, too.
    """
    turn = _last_user_turn(request.messages)
    prompt = turn.text.strip()
    if not prompt:
        raise InvalidRequest(
            "The last user message has no text to make an image or a video from.", param="messages"
        )
    if len(prompt) > image_sizes.LONGEST_PROMPT:
        raise InvalidRequest(
            f"A prompt must not be longer than {image_sizes.LONGEST_PROMPT} characters.",
            param="messages",
        )
    images = tuple(part for part in turn.parts if isinstance(part, MediaRef))
    seed = request.params.get("seed")
    if seed is not None:
        _within("seed", seed, *image_sizes.SEEDS)
    if kind == "video":
        if len(images) > _MAX_FRAMES:
            raise InvalidRequest(
                "A video takes the first frame, or the first and the last.",
                param=images[_MAX_FRAMES].param,
            )
        return VideoRequest(
            model=request.model, prompt=prompt, images=images, seed=seed, stream=request.stream
        )
    if len(images) > image_sizes.MOST_REFERENCES:
        raise InvalidRequest(
            f"An image takes at most {image_sizes.MOST_REFERENCES} reference images.",
            param=images[image_sizes.MOST_REFERENCES].param,
        )
    n = request.params.get("n", 1)
    _within("n", n, 1, image_sizes.MOST_IMAGES)
    size, ratio = _size_and_ratio(request.params.get("image_config") or {})
    return ImageRequest(
        model=request.model,
        prompt=prompt,
        images=images,
        ratio=ratio,
        size=size,
        n=n,
        seed=seed,
        stream=request.stream,
    )


def unused_params(request: ChatRequest, kind: MediaKind) -> list[str]:
    """Names of the parameters that were given and mean nothing for an image or a video."""
    return [name for name in request.params if name not in _USED[kind]]


def _size_and_ratio(config: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Size and ratio in OpenRouter's spelling, or else in Google's."""
    size = _read(config, ("image_size", "imageSize"), image_sizes.size_of)
    ratio = _read(config, ("aspect_ratio", "aspectRatio"), image_sizes.ratio_of)
    if size and ":" in size:
        return None, ratio or size
    return (None if size == "auto" else size), ratio


def _read(
    config: Mapping[str, Any], names: tuple[str, ...], read: Callable[[str], str]
) -> str | None:
    name = next((name for name in names if config.get(name)), None)
    if name is None:
        return None
    try:
        return read(config[name])
    except ValueError as err:
        path = f"image_config.{name}"
        raise InvalidRequest(f"{path}: {err}.", param=path) from None


def _within(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise InvalidRequest(f"{name}: must be between {low} and {high}.", param=name)


def _last_user_turn(messages: tuple[Message, ...]) -> Message:
    for message in reversed(messages):
        if message.role == "user":
            return message
    raise InvalidRequest("There is no user message.", param="messages")
