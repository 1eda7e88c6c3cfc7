"""`POST /images/generations` of Ark."""

from __future__ import annotations

import base64
import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass

from flask import Blueprint, Response

from gateway.simulators.ark.media import REFERENCE, load_image
from gateway.simulators.ark.models import ImageModel, image_model
from gateway.simulators.ark.protocol import ArkError, open_json_call
from gateway.simulators.calls import Call, json_response, stream_response
from gateway.simulators.chat.completions import DONE, sse
from gateway.simulators.fields import Fields
from gateway.simulators.media.images import Format, generate_image, with_comment
from gateway.simulators.media.media_info import MediaInfo
from gateway.simulators.state import current_state
from gateway.simulators.streams import stream_frames

bp = Blueprint("images", __name__)

_MARK = "AI generated"
_TOKEN_PIXELS = 256
_MOST_IMAGES = 15
_UNASKED_GROUP = 4
_UNASKED_LAYERS = 3
_PIXELS = re.compile(r"(\d{1,5})x(\d{1,5})", re.ASCII)
# Sizes of the 2k tier by aspect ratio; the other tiers are multiples of them.
_SHAPES = (
    (2048, 2048),
    (2304, 1728),
    (1728, 2304),
    (2560, 1440),
    (1440, 2560),
    (2496, 1664),
    (1664, 2496),
    (3024, 1296),
)
_GRID = 16


@dataclass(frozen=True, slots=True)
class _ImageRequest:
    """A checked request."""

    model: str
    prompt: str
    width: int
    height: int
    count: int
    base64: bool
    format: Format
    mark: str
    named_format: bool
    transparent: bool
    layers: int


@bp.post("/images/generations")
def generate() -> Response:
    """Draw one image, or a group, and answer when all are there or as each is ready."""
    call, body = open_json_call("ark.images")
    name = body.required_text("model")
    model = image_model(name)
    order = _read(body, name, model)
    if "blocked" in call.behaviour:
        raise _sensitive("InputTextSensitiveContentDetected", "input text")
    if body.flag("stream"):
        return stream_response(_stream(call, order), "text/event-stream; charset=utf-8")
    if "filtered" in call.behaviour:
        raise _sensitive("OutputImageSensitiveContentDetected", "output image")
    data = [_member(call, order, at) for at in range(order.layers or order.count)]
    answer: dict[str, object] = {
        "model": name,
        "created": int(time.time()),
        "data": data,
        "usage": _usage(order, data),
    }
    if all("error" in member for member in data):
        answer["error"] = data[0]["error"]
    return json_response(answer)


def _read(body: Fields, name: str, model: ImageModel) -> _ImageRequest:
    layered = body.flag("layer_decomposition") or False
    prompt = (body.text("prompt") or "") if layered else body.required_text("prompt")
    references = _references(body, model)
    width, height = _size(body, model, references)
    _refuse_unsupported(body, model)
    transparent = _check_background(body, references)
    count = _count(body, prompt, len(references))
    body.flag("stream")
    body.integer("seed", -1, 2**31 - 1)
    body.number("guidance_scale", 1, 10)
    form = body.choice("response_format", ("url", "b64_json"))
    output = body.choice("output_format", ("png", "jpeg"))
    return _ImageRequest(
        model=name,
        prompt=prompt,
        width=width,
        height=height,
        count=count,
        base64=form == "b64_json",
        format="PNG" if output == "png" or layered else "JPEG",
        mark="" if body.flag("watermark") is False else _MARK,
        named_format=model.chooses_format,
        transparent=transparent,
        layers=_layer_count(prompt, model) if layered else 0,
    )


def _references(body: Fields, model: ImageModel) -> list[MediaInfo]:
    image = body.data.get("image")
    urls = image if isinstance(image, list) else [] if image is None else [image]
    if len(urls) > model.references:
        raise body.invalid("image", f"takes at most {model.references} images")
    many = isinstance(image, list)
    return [
        load_image(url, f"image[{at}]" if many else "image", REFERENCE)
        for at, url in enumerate(urls)
    ]


def _size(body: Fields, model: ImageModel, references: list[MediaInfo]) -> tuple[int, int]:
    """Return the size of the result; it may differ from the requested size."""
    size = (body.text("size") or ("2048x2048" if model.tiers else "1024x1024")).lower()
    if size == "auto" and body.flag("layer_decomposition"):
        size = "2k"
    if size in model.tiers:
        ratio = references[0].width / references[0].height if references else 1.0
        width, height = min(_SHAPES, key=lambda shape: abs(shape[0] / shape[1] - ratio))
        factor = float(size.removesuffix("k")) / 2
        return _grid(width * factor), _grid(height * factor)
    match = _PIXELS.fullmatch(size)
    if match is None:
        tiers = "".join(f", '{tier}'" for tier in model.tiers)
        raise body.invalid("size", f"must be one of 'WIDTHxHEIGHT'{tiers}")
    width, height = int(match[1]), int(match[2])
    if not model.least_pixels <= width * height <= model.most_pixels:
        least, most = model.least_pixels, model.most_pixels
        raise body.invalid("size", f"must have {least} to {most} pixels")
    most = model.most_ratio
    if not 1 / most <= width / height <= most:
        raise body.invalid("size", f"must have an aspect ratio between 1/{most} and {most}")
    return _grid(width), _grid(height)


def _grid(length: float) -> int:
    return max(_GRID, int(length) // _GRID * _GRID)


def _refuse_unsupported(body: Fields, model: ImageModel) -> None:
    """Refuse the parameters that only other models have."""
    offered = {
        "output_format": model.chooses_format,
        "layer_decomposition": bool(model.layers),
        "background": bool(model.layers),
        "tools": model.searches,
        "stream": model.streams or (not model.layers and not body.flag("stream")),
        "sequential_image_generation": model.groups
        or (not model.layers and body.data.get("sequential_image_generation") == "disabled"),
        "sequential_image_generation_options": model.groups,
    }
    for name, known in offered.items():
        if name in body and not known:
            message = f"The parameter `{name}` is not supported by the current model."
            raise ArkError(400, "InvalidParameter.UnsupportedParameter", message, name)
    body.flag("layer_decomposition")
    body.choice("background", ("auto", "transparent", "opaque"))
    options = body.inner("optimize_prompt_options")
    if options:
        modes = ("standard", "fast") if model.fast else ("standard",)
        options.choice("mode", modes)
    for tool in body.objects("tools"):
        tool.choice("type", ("web_search",))


def _check_background(body: Fields, references: list[MediaInfo]) -> bool:
    """Return true for a transparent background, which takes one PNG and makes another."""
    if body.data.get("background") != "transparent":
        return False
    if len(references) != 1 or references[0].mime != "image/png":
        raise body.invalid("background", "transparent requires exactly one PNG reference")
    if body.data.get("output_format") != "png":
        raise body.invalid("background", "transparent requires the output_format png")
    return True


def _layer_count(prompt: str, model: ImageModel) -> int:
    """Return the number of layers, from the prompt where it names one."""
    return max(1, min(model.layers, _number_in(prompt, _UNASKED_LAYERS)))


def _count(body: Fields, prompt: str, references: int) -> int:
    """Return the number of images; within a group the model chooses it from the prompt."""
    wanted = body.choice("sequential_image_generation", ("auto", "disabled"))
    options = body.inner("sequential_image_generation_options")
    most = options.integer("max_images", 1, _MOST_IMAGES) if options else None
    if most is not None and most + references > _MOST_IMAGES:
        reason = f"together with the images it must not exceed {_MOST_IMAGES}"
        raise body.invalid("sequential_image_generation_options.max_images", reason)
    if wanted != "auto":
        return 1
    most = most or _MOST_IMAGES - references
    return max(1, min(most, _number_in(prompt, _UNASKED_GROUP)))


def _number_in(prompt: str, default: int) -> int:
    """Return the first number of a prompt, of which nine digits are read."""
    named = re.search(r"\d{1,9}", prompt)
    return int(named[0]) if named else default


def _member(call: Call, order: _ImageRequest, at: int) -> dict[str, object]:
    """Return one image, or why there is none: with `failed`, the last one of the group."""
    if "failed" in call.behaviour and at == order.count - 1:
        message = "The request failed because the output image could not be generated."
        return {"error": {"code": "InternalServiceError", "message": message}}
    if "filtered" in call.behaviour and at == order.count - 1:
        error = _sensitive("OutputImageSensitiveContentDetected", "output image")
        return {"error": {"code": error.code, "message": error.message}}
    title = order.prompt if order.count == 1 else f"{order.prompt} ({at + 1}/{order.count})"
    comment = secrets.token_hex(8).encode()

    def image_bytes() -> bytes:
        plain = generate_image(
            title,
            order.width,
            order.height,
            order.format,
            mark=order.mark,
            transparent=order.transparent or order.layers > 0,
        )
        return with_comment(plain, comment)

    member: dict[str, object] = {"size": f"{order.width}x{order.height}"}
    kind = order.format.lower()
    if order.named_format:
        member["output_format"] = kind
    if order.layers:
        member |= _layer(order, at)
    if order.base64:
        member["b64_json"] = base64.b64encode(image_bytes()).decode()
    else:
        name = f"{int(time.time())}_{at}.{kind}"
        member["url"] = current_state().media.put(
            image_bytes,
            f"image/{kind}",
            name,
            gone="gone" in call.behaviour,
            late=call.behaviour.words.get("latelink", 0),
        )
    return member


def _layer(order: _ImageRequest, at: int) -> dict[str, object]:
    """Return the place of a layer, in pixels and in thousandths of each side."""
    box = {
        "absolute": [0, 0, order.width, order.height],
        "normalized": [0, 0, 1000, 1000],
    }
    return {"z_index": at, "name": f"layer {at + 1}", "description": "", "bounding_box": box}


def _usage(order: _ImageRequest, data: list[dict[str, object]]) -> dict[str, object]:
    made = sum("error" not in member for member in data)
    tokens = round(made * order.width * order.height / _TOKEN_PIXELS)
    return {"generated_images": made, "output_tokens": tokens, "total_tokens": tokens}


def _stream(call: Call, order: _ImageRequest) -> Iterator[bytes]:
    """Return the events; the status leaves with the first image, as at the vendor."""
    data = [_member(call, order, at) for at in range(order.count)]
    if all("error" in member for member in data):
        return stream_frames(call, [], ending=[sse(data[0]), DONE])
    pieces = []
    for at, member in enumerate(data):
        outcome = "failed" if "error" in member else "succeeded"
        pieces.append(_event(order, f"partial_{outcome}", {"image_index": at, **member}))
    completed = _event(order, "completed", {"usage": _usage(order, data)})
    return stream_frames(call, pieces, ending=[completed, DONE])


def _event(order: _ImageRequest, name: str, fields: dict[str, object]) -> bytes:
    kind = f"image_generation.{name}"
    head = {"type": kind, "model": order.model, "created": int(time.time())}
    return f"event: {kind}\n".encode() + sse({**head, **fields})


def _sensitive(code: str, what: str) -> ArkError:
    message = f"The request failed because the {what} may contain sensitive information."
    return ArkError(400, code, message)
