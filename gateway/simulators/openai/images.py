"""`POST /images/generations` and `/images/edits` of OpenAI-compatible servers."""

from __future__ import annotations

import base64
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from flask import Blueprint, Response, request

from gateway.simulators.calls import Call, json_response, stream_response
from gateway.simulators.chat.completions import sse
from gateway.simulators.chat.replies import count_tokens
from gateway.simulators.fields import Fields
from gateway.simulators.media.images import Format, generate_image
from gateway.simulators.media.media_info import describe
from gateway.simulators.openai.protocol import (
    OpenAIError,
    check_model,
    open_call,
    open_json_call,
    refuse,
)
from gateway.simulators.state import current_state
from gateway.simulators.streams import stream_frames

bp = Blueprint("images", __name__, url_prefix="/images")

_KNOWN = frozenset(
    (
        *("prompt", "model", "background", "complexity", "moderation", "n", "output_compression"),
        *("output_format", "partial_images", "quality", "response_format", "safety_identifier"),
        *("size", "stream", "style", "user", "input_fidelity"),
    )
)
_QUALITIES = ("low", "medium", "high", "xhigh", "max", "auto", "standard", "hd")
_NUMBERS = ("n", "output_compression", "partial_images")
_SIZE = re.compile(r"(\d{2,4})x(\d{2,4})", re.ASCII)
_MOST_PIXELS = 3840 * 2160
_OLD_MODELS = ("gpt-image-1", "chatgpt-image")
_OLD_SIZES = ("auto", "1024x1024", "1536x1024", "1024x1536")
_FORMATS: dict[str | None, Format] = {"jpeg": "JPEG", "webp": "WEBP"}
_MOST_REFERENCES = 16
_URL_LIFE_S = 3600
_TOKEN_PIXELS = 1024


@dataclass(frozen=True, slots=True)
class _ImageRequest:
    """A checked request; `base64` says that images come in the answer, not by URL."""

    prompt: str
    width: int
    height: int
    count: int
    base64: bool
    format: Format
    quality: str
    background: str
    partial: int
    references: int

    @property
    def described(self) -> dict[str, object]:
        return {
            "background": self.background,
            "output_format": self.format.lower(),
            "quality": self.quality,
            "size": f"{self.width}x{self.height}",
        }

    @property
    def usage(self) -> dict[str, object]:
        words, images = count_tokens(self.prompt), 256 * self.references
        made = self.count * self.width * self.height // _TOKEN_PIXELS
        return {
            "input_tokens": words + images,
            "input_tokens_details": {"image_tokens": images, "text_tokens": words},
            "output_tokens": made,
            "output_tokens_details": {"image_tokens": made, "text_tokens": 0},
            "total_tokens": words + images + made,
        }


@bp.post("/generations")
def generate() -> Response:
    """Draw images from a prompt."""
    call, body = open_json_call("openai.images")
    return _respond(call, body, _read(body, references=0), "image_generation")


@bp.post("/edits")
def edit() -> Response:
    """Draw images from a prompt and uploaded images; the fields are a multipart form's."""
    form: dict[str, object] = dict(request.form)
    call = open_call("openai.images.edits", body=form)
    for name in _NUMBERS:
        if name in form and str(form[name]).isdecimal():
            form[name] = int(str(form[name]))
    if "stream" in form:
        form["stream"] = form["stream"] == "true"
    body = Fields(form, refuse)
    uploads = [*request.files.getlist("image"), *request.files.getlist("image[]")]
    if not uploads:
        raise refuse("missing", "image", "is required")
    if len(uploads) > _MOST_REFERENCES:
        raise body.invalid("image", f"must be at most {_MOST_REFERENCES} files")
    for upload in uploads:
        if describe(upload.read()).mime not in ("image/png", "image/jpeg", "image/webp"):
            message = "An uploaded image is not in a supported format: png, jpeg or webp."
            raise OpenAIError(400, message, "invalid_image_format", "image")
    return _respond(call, body, _read(body, references=len(uploads)), "image_edit")


def _read(body: Fields, *, references: int) -> _ImageRequest:
    model = body.text("model") or "gpt-image-2"
    check_model(model)
    body.refuse_unknown(_KNOWN)
    prompt = body.required_text("prompt")
    body.text("prompt", most=32_000)
    width, height = _size(body, model)
    # OpenAI's own models answer in base64 only, and refuse the question.
    own = model.startswith(("gpt-image", "chatgpt-image"))
    if own and "response_format" in body:
        raise refuse("unknown", "response_format", "is not known")
    if body.flag("stream") and not own:
        raise body.invalid("stream", "is not supported by this model")
    asked = body.choice("response_format", ("url", "b64_json"))
    body.integer("output_compression", 0, 100)
    output = body.choice("output_format", ("png", "jpeg", "webp"))
    background = body.choice("background", ("transparent", "opaque", "auto")) or "opaque"
    if background == "transparent" and output == "jpeg":
        raise body.invalid("background", "needs the output_format png or webp")
    return _ImageRequest(
        prompt=prompt,
        width=width,
        height=height,
        count=body.integer("n", 1, 10) or 1,
        base64=own or asked == "b64_json",
        format=_FORMATS.get(output, "PNG"),
        quality=body.choice("quality", _QUALITIES) or "high",
        background=background,
        partial=body.integer("partial_images", 0, 3) or 0,
        references=references,
    )


def _size(body: Fields, model: str) -> tuple[int, int]:
    size = body.text("size") or "auto"
    if model.startswith(_OLD_MODELS) and size not in _OLD_SIZES:
        raise body.invalid("size", f"must be one of {', '.join(_OLD_SIZES)}")
    if size == "auto":
        return 1024, 1024
    match = _SIZE.fullmatch(size)
    if match is None:
        raise body.invalid("size", "must be 'auto' or WIDTHxHEIGHT")
    width, height = int(match[1]), int(match[2])
    if width % 16 or height % 16 or width * height > _MOST_PIXELS:
        raise body.invalid("size", "must have sides divisible by 16, up to 3840x2160")
    if not 1 / 3 <= width / height <= 3:
        raise body.invalid("size", "must have an aspect ratio between 1:3 and 3:1")
    return width, height


def _respond(call: Call, body: Fields, order: _ImageRequest, event: str) -> Response:
    if call.behaviour.words.keys() & {"blocked", "filtered"}:
        message = "The request was rejected by the safety system."
        raise OpenAIError(400, message, "moderation_blocked", type="image_generation_user_error")
    if "failed" in call.behaviour:
        raise OpenAIError(500, "The image could not be generated.", type="server_error")
    if body.flag("stream"):
        frames = _stream(call, order, event)
        return stream_response(frames, "text/event-stream; charset=utf-8")
    data = [_image(call, order, at) for at in range(order.count)]
    head = {"created": int(time.time()), **order.described}
    return json_response({**head, "data": data, "usage": order.usage})


def _drawing(order: _ImageRequest, at: int) -> partial[bytes]:
    title = order.prompt if order.count == 1 else f"{order.prompt} ({at + 1}/{order.count})"
    draw = partial(generate_image, title, order.width, order.height, order.format)
    return partial(draw, transparent=order.background == "transparent")


def _image(call: Call, order: _ImageRequest, at: int) -> dict[str, object]:
    image = _drawing(order, at)
    if order.base64:
        return {"b64_json": base64.b64encode(image()).decode()}
    kind = order.format.lower()
    url = current_state().media.put(
        image,
        f"image/{kind}",
        f"{at}.{kind}",
        gone="gone" in call.behaviour,
        late=call.behaviour.words.get("latelink", 0),
        expires_s=_URL_LIFE_S,
    )
    return {"url": url}


def _stream(call: Call, order: _ImageRequest, event: str) -> Iterator[bytes]:
    """Return drafts of the image, as many as were asked for, and the image."""
    data = base64.b64encode(_drawing(order, 0)()).decode()
    common = {"b64_json": data, "created_at": int(time.time()), **order.described}

    def named(name: str, fields: dict[str, object]) -> bytes:
        kind = f"{event}.{name}"
        return f"event: {kind}\n".encode() + sse({"type": kind, **common, **fields})

    drafts = [named("partial_image", {"partial_image_index": at}) for at in range(order.partial)]
    return stream_frames(call, drafts, ending=[named("completed", {"usage": order.usage})])
