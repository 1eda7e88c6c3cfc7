"""`POST /embeddings` and `/embeddings/multimodal` of Ark."""

from __future__ import annotations

import time

from flask import Blueprint, Response

from gateway.simulators.ark.media import CHAT, load_image, load_kind
from gateway.simulators.ark.models import embedding_model
from gateway.simulators.ark.protocol import open_json_call, request_id
from gateway.simulators.calls import json_response
from gateway.simulators.chat.embeddings import embedding_objects, read_texts
from gateway.simulators.chat.replies import count_tokens
from gateway.simulators.fields import Fields
from gateway.simulators.vectors import embed, to_base64

bp = Blueprint("embeddings", __name__, url_prefix="/embeddings")

_MOST_INPUTS = 256
_IMAGE_TOKENS = 1312
_VIDEO_LIMIT_BYTES = 50 * 1024 * 1024


@bp.post("")
def create() -> Response:
    """Embed texts."""
    _, body = open_json_call("ark.embeddings")
    name = body.required_text("model")
    model = embedding_model(name)
    if model.multimodal:
        raise body.invalid("model", "only supports the multimodal embeddings API")
    texts = read_texts(body, most=_MOST_INPUTS)
    data, usage = embedding_objects(body, texts, _dimensions(body, model.dimensions))
    return json_response({**_head(name), "data": data, "usage": usage})


@bp.post("/multimodal")
def create_multimodal() -> Response:
    """Embed one combination of texts, images and videos as one vector."""
    _, body = open_json_call("ark.embeddings.multimodal")
    name = body.required_text("model")
    model = embedding_model(name)
    if not model.multimodal:
        raise body.invalid("model", "does not support the multimodal embeddings API")
    body.require("input")
    words, text_tokens, image_tokens = [], 0, 0
    for item in body.objects("input"):
        word, tokens = _read_item(item)
        words.append(word)
        if "text" in item:
            text_tokens += tokens
        else:
            image_tokens += tokens
    vector = embed(" ".join(words), _dimensions(body, model.dimensions))
    binary = body.choice("encoding_format", ("float", "base64")) == "base64"
    usage = {
        "prompt_tokens": text_tokens + image_tokens,
        "total_tokens": text_tokens + image_tokens,
        "prompt_tokens_details": {"text_tokens": text_tokens, "image_tokens": image_tokens},
    }
    data = {"object": "embedding", "embedding": to_base64(vector) if binary else vector}
    return json_response({**_head(name), "data": data, "usage": usage})


def _read_item(item: Fields) -> tuple[str, int]:
    """Return an input as a word of the vector, and its tokens."""
    kind = item.required_text("type")
    if kind == "text":
        text = item.required_text("text")
        return text, count_tokens(text)
    if kind == "image_url":
        image = item.required_inner("image_url")
        found = load_image(image.data.get("url", ""), image.at("url"), CHAT)
    elif kind == "video_url":
        video = item.required_inner("video_url")
        found = load_kind(video, "url", "video", _VIDEO_LIMIT_BYTES)
    else:
        raise item.invalid("type", f"{kind!r} is not supported")
    return f"{found.mime}-{found.width}x{found.height}-{found.size}", _IMAGE_TOKENS


def _dimensions(body: Fields, allowed: tuple[int, ...]) -> int:
    given = body.integer("dimensions", 1, 10_000)
    if given is not None and given not in allowed:
        raise body.invalid("dimensions", f"must be one of {', '.join(map(str, allowed))}")
    return given or allowed[0]


def _head(model: str) -> dict[str, object]:
    return {"id": request_id(), "object": "list", "created": int(time.time()), "model": model}
