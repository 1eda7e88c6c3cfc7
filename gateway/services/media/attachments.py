"""The attachments of a request: found, replaced, and made to fit a vendor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import TypeVar

from gateway.domain.accounts import Kind
from gateway.domain.errors import GatewayError, UnsupportedMediaType
from gateway.domain.image_sizes import RATIOS, nearest_ratio
from gateway.domain.media import Media, MediaRef
from gateway.domain.requests import ChatRequest, ImageRequest, Message, Part, VideoRequest
from gateway.formats.convert import ConvertedImage, can_convert, convert_image
from gateway.services.routing.catalog import Route
from gateway.upstreams.base import image_upstream

AnyRequest = ChatRequest | ImageRequest | VideoRequest
Request = TypeVar("Request", ChatRequest, ImageRequest, VideoRequest, ImageRequest | VideoRequest)
Swap = Callable[[MediaRef | Media], Media]


def attachments(request: AnyRequest) -> Iterator[MediaRef | Media]:
    if isinstance(request, ChatRequest):
        for message in request.messages:
            for part in message.parts:
                if isinstance(part, MediaRef | Media):
                    yield part
        return
    yield from request.images
    if isinstance(request, VideoRequest):
        yield from (reference.media for reference in request.references)
    elif request.mask is not None:
        yield request.mask


def swapped(request: Request, swap: Swap) -> Request:
    """The request with what `swap` makes of each of its attachments."""
    if isinstance(request, ChatRequest):
        return replace(request, messages=tuple(_message(m, swap) for m in request.messages))
    images = tuple(map(swap, request.images))
    if isinstance(request, VideoRequest):
        references = tuple(replace(r, media=swap(r.media)) for r in request.references)
        return replace(request, images=images, references=references)
    return replace(request, images=images, mask=request.mask and swap(request.mask))


def _message(message: Message, swap: Swap) -> Message:
    if not any(isinstance(part, MediaRef | Media) for part in message.parts):
        return message
    parts: tuple[Part, ...] = tuple(
        swap(part) if isinstance(part, MediaRef | Media) else part for part in message.parts
    )
    return replace(message, parts=parts)


def adapted(request: Request, route: Route) -> Request:
    """The request as a vendor takes it: its own model, pictures of types that this can see.

    Pictures to be made whose shape is left open get one, so that it is the same wherever
    models take one.
    Raises UnsupportedMediaType naming the picture that cannot be converted.
    """
    taken = route.upstream.image_types(route.model, _kind(request))
    converted: dict[str, ConvertedImage] = {}

    def fit(media: MediaRef | Media) -> Media:
        assert isinstance(media, Media)
        if not _strange(media, taken):
            return media
        if media.digest not in converted:
            converted[media.digest] = _converted(media, taken)
        new = converted[media.digest]
        suffix = new.mime_type.rpartition("/")[2]
        return replace(
            media,
            mime_type=new.mime_type,
            blob=new.blob,
            digest=new.digest,
            url=None,
            filename=media.filename and f"{PurePath(media.filename).stem}.{suffix}",
        )

    if any(_strange(media, taken) for media in attachments(request)):
        request = swapped(request, fit)
    request = replace(request, model=route.model)
    if not isinstance(request, ImageRequest) or request.ratio or request.size not in (None, "auto"):
        return request
    if not image_upstream(route.upstream).takes_default_ratio(route.model):
        return request
    return replace(request, ratio=_ratio_of(request.images))


def _ratio_of(images: Sequence[MediaRef | Media]) -> str:
    """The ratio nearest to that of the first image, else a square."""
    first = images[0] if images else None
    if not isinstance(first, Media) or not first.width or not first.height:
        return "1:1"
    return nearest_ratio(first.width / first.height, RATIOS)


def _strange(media: MediaRef | Media, taken: frozenset[str]) -> bool:
    return isinstance(media, Media) and media.kind == "image" and media.mime_type not in taken


def _converted(media: Media, taken: frozenset[str]) -> ConvertedImage:
    if not can_convert(media.mime_type):
        types = ", ".join(sorted(name.removeprefix("image/") for name in taken))
        raise UnsupportedMediaType(
            f"The vendor of this model takes no {media.mime_type}. Send one of {types}.",
            param=media.param,
        )
    try:
        return convert_image(media.blob, media.mime_type)
    except GatewayError as err:
        err.param = err.param or media.param
        raise


def _kind(request: AnyRequest) -> Kind:
    if isinstance(request, ChatRequest):
        return "chat"
    return "image" if isinstance(request, ImageRequest) else "video"
