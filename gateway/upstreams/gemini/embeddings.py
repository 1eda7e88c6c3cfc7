"""Gemini's embeddings. https://ai.google.dev/api/embeddings"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from gateway.domain.embeddings import EmbeddingInput, EmbeddingRequest, Embeddings
from gateway.domain.errors import InvalidRequest, UpstreamInvalidResponse
from gateway.domain.events import tokens_of
from gateway.domain.media import Media
from gateway.domain.requests import Text
from gateway.upstreams.gemini.contents import media_part

_MOST_AT_ONCE = 100


def parts_of(request: EmbeddingRequest) -> Iterator[EmbeddingRequest]:
    """The request in parts of as many inputs as one call may have."""
    for start in range(0, len(request.inputs), _MOST_AT_ONCE):
        yield replace(request, inputs=request.inputs[start : start + _MOST_AT_ONCE])


def embedding_body(request: EmbeddingRequest) -> dict[str, Any]:
    """Raises InvalidRequest for tokens, which only the model that made them can read."""
    return {"requests": [_one(request, given, place) for place, given in enumerate(request.inputs)]}


def read_embeddings(document: Any, request: EmbeddingRequest) -> Embeddings:
    """Raises UpstreamInvalidResponse."""
    entries = document.get("embeddings") if isinstance(document, dict) else None
    if not isinstance(entries, list) or len(entries) != len(request.inputs):
        raise UpstreamInvalidResponse("Gemini sent another number of embeddings", sent=True)
    vectors: list[list[float]] = []
    for entry in entries:
        values = entry.get("values") if isinstance(entry, dict) else None
        if not isinstance(values, list) or not all(type(x) in (int, float) for x in values):
            raise UpstreamInvalidResponse("Gemini sent an embedding without values", sent=True)
        vectors.append(values)
    usage = document.get("usageMetadata")
    tokens = tokens_of(usage.get("promptTokenCount")) if isinstance(usage, dict) else 0
    return Embeddings(tuple(vectors), tokens)


def _one(request: EmbeddingRequest, given: EmbeddingInput, place: int) -> dict[str, Any]:
    found: dict[str, Any] = {
        "model": f"models/{request.model}",
        "content": {"parts": _parts(given, place)},
    }
    if request.dimensions is not None:
        found["outputDimensionality"] = request.dimensions
    if request.task is not None:
        found["taskType"] = request.task
    return found


def _parts(given: EmbeddingInput, place: int) -> list[dict[str, Any]]:
    if isinstance(given, str):
        return [{"text": given}]
    parts: list[dict[str, Any]] = []
    for part in given:
        if isinstance(part, Text):
            parts.append({"text": part.text})
        elif isinstance(part, Media):
            parts.append(media_part(part, {}))
        else:
            raise InvalidRequest("This model embeds texts, not tokens.", param=f"input[{place}]")
    return parts
