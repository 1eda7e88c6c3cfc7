"""Embeddings: texts and media as vectors."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.domain.requests import Part

EmbeddingInput = str | tuple[int, ...] | tuple[Part, ...]
"""A text, a list of tokens, or texts and media that make one vector together."""


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    model: str
    inputs: tuple[EmbeddingInput, ...]
    dimensions: int | None = None
    user: str | None = None
    task: str | None = None  # Google's type of task, such as RETRIEVAL_QUERY


@dataclass(frozen=True, slots=True)
class Embeddings:
    """One vector for each input, in order; `model` is the one that the vendor says answered."""

    vectors: tuple[list[float], ...]
    tokens: int
    model: str | None = None
