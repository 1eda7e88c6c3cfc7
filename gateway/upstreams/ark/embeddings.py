"""Ark's multimodal embeddings. https://www.volcengine.com/docs/82379/1523520"""

from __future__ import annotations

from typing import Any

from gateway.domain.embeddings import EmbeddingInput, EmbeddingRequest
from gateway.domain.errors import InvalidRequest
from gateway.domain.events import tokens_of
from gateway.domain.media import Media
from gateway.domain.requests import Text
from gateway.upstreams.ark.errors import ENVELOPE
from gateway.upstreams.openai.embeddings import is_vector
from gateway.upstreams.openai.messages import media_part


def is_multimodal(model: str) -> bool:
    return "vision" in model


def multimodal_body(request: EmbeddingRequest, place: int) -> dict[str, Any]:
    """The request for one vector. Raises InvalidRequest for tokens."""
    body: dict[str, Any] = {
        "model": request.model,
        "input": _parts(request.inputs[place], place),
        "encoding_format": "float",
    }
    if request.dimensions is not None:
        body["dimensions"] = request.dimensions
    return body


def read_multimodal(document: Any) -> tuple[list[float], int]:
    """The vector and the tokens that it took. Raises UpstreamInvalidResponse."""
    data = document.get("data") if isinstance(document, dict) else None
    vector = data.get("embedding") if isinstance(data, dict) else None
    if not is_vector(vector):
        raise ENVELOPE.invalid("has no embedding")
    usage = document.get("usage")
    tokens = tokens_of(usage.get("prompt_tokens")) if isinstance(usage, dict) else 0
    return vector, tokens


def _parts(given: EmbeddingInput, place: int) -> list[dict[str, Any]]:
    if isinstance(given, str):
        return [{"type": "text", "text": given}]
    parts: list[dict[str, Any]] = []
    for part in given:
        if isinstance(part, Text):
            parts.append({"type": "text", "text": part.text})
        elif isinstance(part, Media):
            parts.append(media_part(part, f"input[{place}]"))
        else:
            raise InvalidRequest(
                "This model embeds texts and media, not tokens.", param=f"input[{place}]"
            )
    return parts
