"""embedContent and batchEmbedContents. https://ai.google.dev/api/embeddings"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gateway.api.dialects import reading
from gateway.api.dialects.gemini import members
from gateway.api.dialects.gemini.members import member
from gateway.api.dialects.gemini.turns import media_and_texts
from gateway.api.dialects.reading import Object
from gateway.domain.embeddings import EmbeddingInput, EmbeddingRequest
from gateway.domain.errors import InvalidRequest
from gateway.domain.requests import Text

_MOST_REQUESTS = 2048


def read_embed_request(document: Mapping[str, Any], model: str) -> EmbeddingRequest:
    """One content. Raises InvalidRequest naming the field."""
    return EmbeddingRequest(
        model=model,
        inputs=(_input(document),),
        dimensions=_dimensions(document),
        task=members.optional_text(document, "taskType", ""),
    )


def read_batch_request(document: Mapping[str, Any], model: str) -> EmbeddingRequest:
    """Several contents, which all have to ask for the same. Raises InvalidRequest."""
    requests = list(reading.objects(document.get("requests") or [], "requests"))
    if not 1 <= len(requests) <= _MOST_REQUESTS:
        raise InvalidRequest(f"requests must hold 1 to {_MOST_REQUESTS}.", param="requests")
    found = [read_embed_request(one, model) for one, _ in requests]
    same = {replace(one, inputs=()) for one in found}
    if len(same) > 1:
        raise InvalidRequest(
            "requests must all have the same outputDimensionality and taskType.", param="requests"
        )
    return replace(found[0], inputs=tuple(given for one in found for given in one.inputs))


def _input(document: Object) -> EmbeddingInput:
    content = member(document, "content")
    if isinstance(content, str):
        return content
    parts = media_and_texts(reading.an_object(content, "content"), "content")
    if not parts:
        raise InvalidRequest("content must hold at least one part.", param="content")
    if len(parts) == 1 and isinstance(parts[0], Text):
        return parts[0].text
    return tuple(parts)


def _dimensions(document: Object) -> int | None:
    found = member(document, "outputDimensionality")
    if found is None or (type(found) is int and found > 0):
        return found
    raise InvalidRequest(
        "outputDimensionality must be a whole number above 0.", param="outputDimensionality"
    )
