"""Token counts of OpenAI's protocol, wherever its servers put them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway.domain.events import Usage, tokens_of


def usage_of(raw: Any) -> Usage:
    """Usage from the counters of the chat or the image API; 0 for what makes no sense.

    A total above prompt and completion means that the reasoning is counted beside the
    completion: it is part of it here.
    """
    prompt = _first(raw, "prompt_tokens", "input_tokens")
    completion = _first(raw, "completion_tokens", "output_tokens")
    total = _first(raw, "total_tokens")
    if prompt + completion < total:
        completion = total - prompt
    reasoning = _first(raw, "completion_tokens_details.reasoning_tokens") or _first(
        raw, "output_tokens_details.reasoning_tokens", "reasoning_tokens"
    )
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        reasoning_tokens=min(reasoning, completion),
        cached_tokens=_first(
            raw,
            "prompt_tokens_details.cached_tokens",
            "input_tokens_details.cached_tokens",
            "prompt_cache_hit_tokens",
            "cached_tokens",
            "cache_read_input_tokens",
        ),
        cache_write_tokens=_first(
            raw, "prompt_tokens_details.cache_write_tokens", "cache_creation_input_tokens"
        ),
        image_input_tokens=_first(
            raw, "input_tokens_details.image_tokens", "prompt_tokens_details.image_tokens"
        ),
        image_output_tokens=_first(
            raw, "output_tokens_details.image_tokens", "completion_tokens_details.image_tokens"
        ),
    )


def find_usage(chunk: Mapping[str, Any], choices: list[dict[str, Any]]) -> Mapping[str, Any] | None:
    """The counters of a chunk: beside the choices, in one of them, or under a vendor's name."""
    places = (chunk.get("usage"), *(choice.get("usage") for choice in choices), chunk.get("x_groq"))
    for found in places:
        if isinstance(found, dict) and found:
            inner = found.get("usage")
            return inner if isinstance(inner, dict) else found
    timings = chunk.get("timings")  # llama.cpp
    if isinstance(timings, dict):
        return {
            "prompt_tokens": timings.get("prompt_n"),
            "completion_tokens": timings.get("predicted_n"),
        }
    return None


def more_complete(one: Mapping[str, Any] | None, other: Mapping[str, Any]) -> Mapping[str, Any]:
    """The one of two reports of the same answer that counts more; the later of equal ones."""
    if one is None:
        return other
    before, after = usage_of(one), usage_of(other)
    counted = before.prompt_tokens + before.completion_tokens
    return one if counted > after.prompt_tokens + after.completion_tokens else other


def _first(raw: Any, *paths: str) -> int:
    """The first count above 0 at one of the paths."""
    for path in paths:
        value = raw
        for name in path.split("."):
            value = value.get(name) if isinstance(value, dict) else None
        if count := tokens_of(value):
            return count
    return 0
