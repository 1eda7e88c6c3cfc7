"""Requests for images in OpenAI's spelling.

https://platform.openai.com/docs/api-reference/images
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gateway.domain.accounts import Account
from gateway.domain.errors import InvalidRequest
from gateway.domain.events import Event, Events, Finish, ImageDraft, MediaReady
from gateway.domain.image_sizes import as_asked, of_ratio, parse_ratio, parse_size
from gateway.domain.media import Media
from gateway.domain.models import ModelFacts
from gateway.domain.requests import ImageRequest
from gateway.net.codecs import sse
from gateway.net.codecs.multipart import File
from gateway.net.codecs.vendor_json import JsonReader, NotJson
from gateway.net.fetch.fetcher import Fetcher
from gateway.upstreams.media_sources import InlineSource, from_url
from gateway.upstreams.openai.envelope import Envelope, images_in
from gateway.upstreams.openai.usage import usage_of

TAKEN = frozenset({"output_format", "quality", "background", "mask"})  # without facts
_K = 1024 * 1024
_TIERS = {"1K": _K, "2K": 4 * _K, "4K": 3840 * 2160}
_GRID = 16


def fields(request: ImageRequest, facts: ModelFacts | None) -> dict[str, Any]:
    """The parameters of one request, of an image or an edit."""
    found: dict[str, Any] = {"model": request.model, "prompt": request.prompt}
    if request.n > 1:
        found["n"] = request.n
    if size := _size(request, facts):
        found["size"] = size
    taken = TAKEN if facts is None else facts.options
    for name in ("quality", "background", "output_format"):
        if name in taken and (value := getattr(request, name)) is not None:
            found[name] = value
    if draws_drafts(request, facts):
        found |= {"stream": True, "partial_images": request.partial_images}
    return found


def draws_drafts(request: ImageRequest, facts: ModelFacts | None) -> bool:
    """Tell whether drafts are asked for, and made: of one image, as a stream."""
    able = facts is not None and "partial_images" in facts.options
    return able and request.stream and request.n == 1 and bool(request.partial_images)


def files(request: ImageRequest) -> list[File]:
    """The images of an edit, and its mask."""
    name = "image" if len(request.images) == 1 else "image[]"
    named = [(name, image) for image in request.images]
    if request.mask is not None:
        named.append(("mask", request.mask))
    return [
        File(name, media.blob, f"{name.strip('[]')}.{media.mime_type[6:]}", media.mime_type)
        for name, media in named
        if isinstance(media, Media)
    ]


def changed(request: ImageRequest, facts: ModelFacts | None) -> list[str]:
    """Parameters that the model takes with another value, as `size=1536x1024`."""
    size = _size(request, facts)
    sent = parse_size(size)
    if sent is None or as_asked(sent, request.size, request.ratio, _TIERS):
        return []
    return [f"size={size}"]


def check_size(request: ImageRequest, facts: ModelFacts | None) -> None:
    """Raise InvalidRequest for a size that the model is known not to make."""
    size = parse_size(_size(request, facts))
    if facts is None or size is None:
        return
    if facts.sizes and str(size) not in facts.sizes:
        makes = ", ".join(facts.sizes)
        raise InvalidRequest(f"{request.model} makes {makes}.", param="size")
    if facts.aspect and not 1 / facts.aspect <= size.aspect <= facts.aspect:
        message = f"{request.model} makes no image more than {facts.aspect} times as long as wide."
        raise InvalidRequest(message, param="size" if parse_size(request.size) else "ratio")
    if facts.pixels and not facts.pixels[0] <= size.pixels <= facts.pixels[1]:
        least, most = facts.pixels
        raise InvalidRequest(f"{request.model} makes {least} to {most} pixels.", param="size")
    if facts.pixels and (size.width % _GRID or size.height % _GRID):
        message = f"{request.model} makes sides that divide by {_GRID}."
        raise InvalidRequest(message, param="size")


def _size(request: ImageRequest, facts: ModelFacts | None) -> str | None:
    """An exact size as it is; a tier or a ratio as the nearest size that the model makes."""
    if exact := parse_size(request.size):
        return str(exact)
    tier = (request.size or "").upper()
    if tier not in _TIERS and not request.ratio:
        if tier not in ("", "AUTO"):
            raise InvalidRequest("The size must be WIDTHxHEIGHT, 1K, 2K, 4K or auto", param="size")
        return None
    ratio = parse_ratio(request.ratio or "1:1")
    sizes = [size for text in facts.sizes if (size := parse_size(text))] if facts else []
    if sizes:
        return str(min(sizes, key=lambda size: abs(size.aspect - ratio[0] / ratio[1])))
    return str(of_ratio(ratio, _TIERS.get(tier, _K)))


def read_images(
    document: Any, account: Account, envelope: Envelope, fetcher: Fetcher
) -> list[Event]:
    """The images of one answer, its usage and its end. Raises when it has none, with the reason."""
    if error := envelope.reported(document, account):
        raise error
    mime_type = f"image/{document.get('output_format') or 'png'}"
    events: list[Event] = []
    for entry in images_in(document):
        text, url = entry.get("b64_json"), entry.get("url")
        if text and isinstance(text, str):
            events.append(MediaReady("image", InlineSource(text, mime_type)))
        elif url and isinstance(url, str):
            events.append(MediaReady("image", from_url(fetcher, url, mime_type)))
    if not events:
        raise envelope.no_image(document, account)
    usage = usage_of(document.get("usage"))
    usage.images = len(events)
    return [*events, usage, Finish("stop")]


def drawn(
    chunks: Iterator[bytes], account: Account, envelope: Envelope, fetcher: Fetcher
) -> Events:
    """The drafts of an image as they come, and the image."""
    reader = JsonReader()
    index = 0
    for payloads in sse.batches(chunks):
        for payload in payloads:
            try:
                event = reader.read(payload)
            except NotJson as err:
                raise envelope.invalid(str(err)) from None
            if error := envelope.reported(event, account):
                raise error
            kind, picture = str(event.get("type")), event.get("b64_json")
            if kind.endswith(".completed"):
                yield read_images({**event, "data": [event]}, account, envelope, fetcher)
                return
            if kind.endswith(".partial_image") and isinstance(picture, str):
                yield [ImageDraft(index, picture, str(event.get("output_format") or "png"))]
                index += 1
    raise envelope.invalid("ended without an image")
