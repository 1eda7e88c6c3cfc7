"""Embeddings of servers that speak OpenAI's protocol.

https://platform.openai.com/docs/api-reference/embeddings
"""

from __future__ import annotations

from typing import Any, TypeGuard

from gateway.domain.accounts import Account
from gateway.domain.embeddings import EmbeddingRequest, Embeddings
from gateway.domain.errors import InvalidRequest
from gateway.domain.events import tokens_of
from gateway.domain.requests import Text
from gateway.net.codecs.json_limits import MOST_VALUES
from gateway.net.http.client import Answer
from gateway.upstreams.openai.envelope import Envelope

_MOST_DIMENSIONS = 8192
_LARGEST_BYTES = 128 * 1024 * 1024  # 2048 vectors of 3072 numbers in full length


def read_vectors(answer: Answer, request: EmbeddingRequest) -> Any:
    """The JSON of an answer, which holds as many numbers as the vectors may have."""
    return answer.json(_LARGEST_BYTES, MOST_VALUES + len(request.inputs) * _MOST_DIMENSIONS)


def embedding_body(request: EmbeddingRequest) -> dict[str, Any]:
    """Raises InvalidRequest for media, which this protocol has no place for."""
    inputs: list[Any] = []
    for place, given in enumerate(request.inputs):
        if isinstance(given, str):
            inputs.append(given)
        elif all(isinstance(token, int) for token in given):
            inputs.append(list(given))
        elif all(isinstance(part, Text) for part in given):
            inputs.append("\n".join(part.text for part in given if isinstance(part, Text)))
        else:
            raise InvalidRequest("This model embeds texts only.", param=f"input[{place}]")
    body: dict[str, Any] = {"model": request.model, "input": inputs, "encoding_format": "float"}
    if request.dimensions is not None:
        body["dimensions"] = request.dimensions
    if request.user is not None:
        body["user"] = request.user
    return body


def read_embeddings(
    document: Any, request: EmbeddingRequest, account: Account, envelope: Envelope
) -> Embeddings:
    """Raises what an error in the answer stands for, or UpstreamInvalidResponse."""
    if error := envelope.reported(document, account):
        raise error
    entries = document.get("data")
    if not isinstance(entries, list) or len(entries) != len(request.inputs):
        raise envelope.invalid("has another number of embeddings than inputs")
    vectors: dict[int, list[float]] = {}
    for place, entry in enumerate(entries):
        index = entry.get("index", place) if isinstance(entry, dict) else None
        vector = entry.get("embedding") if isinstance(entry, dict) else None
        if not isinstance(index, int) or not is_vector(vector):
            raise envelope.invalid("has an embedding that is no list of numbers")
        vectors[index] = vector
    if sorted(vectors) != list(range(len(entries))):
        raise envelope.invalid("numbers its embeddings wrongly")
    return Embeddings(
        tuple(vectors[index] for index in sorted(vectors)),
        _tokens(document.get("usage")),
        _text(document.get("model")),
    )


def is_vector(value: Any) -> TypeGuard[list[float]]:
    return isinstance(value, list) and bool(value) and all(type(x) in (int, float) for x in value)


def _tokens(usage: Any) -> int:
    if not isinstance(usage, dict):
        return 0
    return tokens_of(usage.get("prompt_tokens")) or tokens_of(usage.get("total_tokens"))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
