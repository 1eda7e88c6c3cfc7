"""embedContent and batchEmbedContents. https://ai.google.dev/api/embeddings"""

from __future__ import annotations

from typing import Any

from flask import Response

from gateway.simulators.chat.replies import count_tokens
from gateway.simulators.gemini import errors
from gateway.simulators.gemini.media import inline, referenced
from gateway.simulators.gemini.models import Model
from gateway.simulators.gemini.protocol import VERSION, bp, model_of, open_call
from gateway.simulators.gemini.schemas import BATCH_EMBED_CONTENTS, EMBED_CONTENT
from gateway.simulators.google.errors import invalid
from gateway.simulators.google.http import check_query, google_json, json_body, read_payload
from gateway.simulators.vectors import embed

_MOST_REQUESTS = 100
_DIMENSIONS = 3072
_TOKENS_PER_MEDIUM = 258


@bp.post(f"/{VERSION}/models/<model_id>:embedContent")
def embed_content(version: str, model_id: str) -> Response:
    """Embed one content."""
    body = json_body()
    call = open_call("embedContent", body, main=True)
    check_query()
    model = model_of(model_id, version, "embedContent")
    errors.refuse_work(call, model_id)
    values, tokens = _embed(read_payload(EMBED_CONTENT, body), model, call.credential)
    usage = {"promptTokenCount": tokens, "totalTokenCount": tokens}
    return google_json({"embedding": {"values": values}, "usageMetadata": usage})


@bp.post(f"/{VERSION}/models/<model_id>:batchEmbedContents")
def batch_embed_contents(version: str, model_id: str) -> Response:
    """Embed several contents."""
    body = json_body()
    call = open_call("batchEmbedContents", body, main=True)
    check_query()
    model = model_of(model_id, version, "batchEmbedContents")
    errors.refuse_work(call, model_id)
    requests = read_payload(BATCH_EMBED_CONTENTS, body).get("requests", [])
    if not 1 <= len(requests) <= _MOST_REQUESTS:
        raise invalid(f"* BatchEmbedContentsRequest.requests: 1 to {_MOST_REQUESTS} requests.\n")
    for at, one in enumerate(requests):
        if one.get("model") != f"models/{model_id}":
            raise invalid(
                f"* BatchEmbedContentsRequest.requests[{at}].model: the model in the request must "
                "match the model of the batch.\n"
            )
    results = [_embed(one, model, call.credential) for one in requests]
    total = sum(tokens for _, tokens in results)
    return google_json(
        {
            "embeddings": [{"values": values} for values, _ in results],
            "usageMetadata": {"promptTokenCount": total, "totalTokenCount": total},
        }
    )


def _embed(given: dict[str, Any], model: Model, credential: str) -> tuple[list[float], int]:
    parts = given.get("content", {}).get("parts", [])
    if not parts:
        raise invalid("* EmbedContentRequest.content: content is required.\n")
    dimensions = given.get("outputDimensionality", _DIMENSIONS)
    if not 1 <= dimensions <= _DIMENSIONS:
        raise invalid(f"* EmbedContentRequest.output_dimensionality: 1 to {_DIMENSIONS}.\n")
    words, tokens = [], 0
    for part in parts:
        if "text" in part:
            words.append(part["text"])
            tokens += count_tokens(part["text"])
            continue
        if not model.multimodal:
            raise invalid("The model only supports text input.")
        if "inlineData" in part:
            found = inline(part["inlineData"], "EmbedContentRequest.content")
        else:
            where = "EmbedContentRequest.content"
            found = referenced(part.get("fileData", {}), credential, where)
        words.append(f"{found.mime}-{found.width}x{found.height}-{found.size}")
        tokens += _TOKENS_PER_MEDIUM
    return embed(" ".join(words), dimensions), tokens
