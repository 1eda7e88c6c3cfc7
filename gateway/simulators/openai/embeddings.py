"""`POST /embeddings` of OpenAI-compatible servers."""

from __future__ import annotations

from flask import Blueprint, Response

from gateway.simulators.calls import json_response
from gateway.simulators.chat.embeddings import embedding_objects, read_texts
from gateway.simulators.openai.protocol import check_model, open_json_call

bp = Blueprint("embeddings", __name__)

_KNOWN = frozenset(("input", "model", "dimensions", "encoding_format", "user"))
_DEFAULT_DIMENSIONS = 1536
_MOST_INPUTS = 2048


@bp.post("/embeddings")
def create() -> Response:
    """Embed one text or several."""
    _, body = open_json_call("openai.embeddings")
    model = body.required_text("model")
    check_model(model)
    body.refuse_unknown(_KNOWN)
    dimensions = body.integer("dimensions", 1, 3072) or _DEFAULT_DIMENSIONS
    data, usage = embedding_objects(body, read_texts(body, most=_MOST_INPUTS), dimensions)
    return json_response({"object": "list", "data": data, "model": model, "usage": usage})
