"""Embeddings in OpenAI's shape, shared by Ark and the OpenAI-compatible server."""

from __future__ import annotations

from gateway.simulators.chat.replies import count_tokens
from gateway.simulators.fields import Fields
from gateway.simulators.vectors import embed, to_base64


def read_texts(body: Fields, *, most: int) -> list[str]:
    """Return the inputs: a string, token ids, or a list of either; token ids become words."""
    body.require("input")
    given = body.data["input"]
    if isinstance(given, str):
        return [given]
    items = body.items("input")
    if not items:
        raise body.invalid("input", "must not be empty")
    if all(_is_token(item) for item in items):
        items = [items]
    if len(items) > most:
        raise body.invalid("input", f"must have at most {most} entries")
    return [_text(body, item) for item in items]


def embedding_objects(
    body: Fields, texts: list[str], dimensions: int
) -> tuple[list[dict[str, object]], dict[str, int]]:
    """Return the `data` and the `usage` of an answer."""
    binary = body.choice("encoding_format", ("float", "base64")) == "base64"
    vectors = (embed(text, dimensions) for text in texts)
    data: list[dict[str, object]] = [
        {"object": "embedding", "index": at, "embedding": to_base64(one) if binary else one}
        for at, one in enumerate(vectors)
    ]
    tokens = sum(map(count_tokens, texts))
    return data, {"prompt_tokens": tokens, "total_tokens": tokens}


def _text(body: Fields, item: object) -> str:
    if isinstance(item, str) and item:
        return item
    if isinstance(item, list) and item and all(_is_token(token) for token in item):
        return " ".join(map(str, item))
    raise body.invalid("input", "must be strings or arrays of token ids, and not empty")


def _is_token(item: object) -> bool:
    return isinstance(item, int) and not isinstance(item, bool)
