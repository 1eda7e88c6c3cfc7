"""POST /v1/embeddings. https://platform.openai.com/docs/api-reference/embeddings/create"""

from __future__ import annotations

import base64
import struct
from typing import Any

from flask import Blueprint
from flask.typing import ResponseReturnValue
from marshmallow import fields

from gateway.api.context import current
from gateway.api.http.body import json_body, load
from gateway.api.http.described import described
from gateway.api.http.heartbeat import kept_alive
from gateway.api.http.responses import dry_run, json_response
from gateway.api.schemas import parts
from gateway.api.schemas.fields import Choice, RequestSchema, String, WholeNumber
from gateway.domain.embeddings import EmbeddingInput, EmbeddingRequest, Embeddings
from gateway.domain.errors import InvalidRequest

bp = Blueprint("embeddings", __name__)
_MOST_INPUTS = 2048


class EmbeddingSchema(RequestSchema):
    """`input`: a text, texts, tokens, lists of tokens, or parts that make one vector."""

    model = String(256, required=True)
    input = fields.Raw(required=True)
    dimensions = WholeNumber(1, 100_000)
    encoding_format = Choice("float", "base64", load_default="float")
    user = String()

    def build(self, data: dict[str, Any]) -> EmbeddingRequest:
        return EmbeddingRequest(
            model=data["model"],
            inputs=read_inputs(data["input"]),
            dimensions=data.get("dimensions"),
            user=data.get("user"),
        )


_schema = EmbeddingSchema()


@bp.post("/v1/embeddings")
@described(body=_schema, headers=("X-Gateway-Dry-Run",))
def create_embeddings() -> ResponseReturnValue:
    """Turn texts into vectors."""
    context = current()
    document = json_body(context)
    wanted: EmbeddingRequest = load(context, _schema, document)
    service = context.services.embeddings
    if context.is_dry_run:
        return dry_run(context, service.plan(wanted, context.caller, context.trace))
    found = kept_alive(context, lambda: service.embed(wanted, context.caller, context.trace))
    packed = document.get("encoding_format") == "base64"
    return json_response(embedding_list(found, wanted.model, packed=packed))


def embedding_list(found: Embeddings, model: str, *, packed: bool) -> dict[str, Any]:
    return {
        "object": "list",
        "data": [
            {
                "object": "embedding",
                "index": index,
                "embedding": in_base64(vector) if packed else vector,
            }
            for index, vector in enumerate(found.vectors)
        ],
        "model": model,
        "usage": {"prompt_tokens": found.tokens, "total_tokens": found.tokens},
    }


def read_inputs(value: object) -> tuple[EmbeddingInput, ...]:
    """Raises InvalidRequest naming the field."""
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list) or not value:
        raise InvalidRequest("input must be a text, or a list that is not empty.", param="input")
    if isinstance(value[0], dict):
        return (parts.content_parts(value, "input"),)
    if isinstance(value[0], int):
        value = [value]
    if len(value) > _MOST_INPUTS:
        raise InvalidRequest(f"input must not hold more than {_MOST_INPUTS}.", param="input")
    return tuple([_input(item, f"input[{place}]") for place, item in enumerate(value)])


def _input(value: object, path: str) -> EmbeddingInput:
    if isinstance(value, str) and value:
        return value
    if isinstance(value, list) and value and all(type(token) is int for token in value):
        return tuple(value)
    raise InvalidRequest(f"{path} must be a text or a list of tokens, and not empty.", param=path)


def in_base64(vector: list[float]) -> str:
    """The vector as OpenAI packs it: floats of 32 bits, little end first, in base64."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
