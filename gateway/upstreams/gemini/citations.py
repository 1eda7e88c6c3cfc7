"""Sources of grounded answers, as OpenAI's annotations.

https://ai.google.dev/gemini-api/docs/google-search#understanding_the_grounding_response
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.upstreams.openai.envelope import listed


def citations(grounding: Mapping[str, Any], text: str) -> list[dict[str, Any]]:
    """`url_citation` objects of what `groundingMetadata` says of `text`.

    Sources that support no part of the text are cited at its end.
    """
    webs = [chunk.get("web") or {} for chunk in listed(grounding.get("groundingChunks"))]
    found: list[dict[str, Any]] = []
    cited: set[int] = set()
    for start, end, indices in _supports(grounding, text):
        for index in indices:
            if type(index) is int and 0 <= index < len(webs):
                cited.add(index)
                found += _citation(webs[index], start, end)
    for index, web in enumerate(webs):
        if index not in cited:
            found += _citation(web, len(text), len(text))
    return found


def _supports(grounding: Mapping[str, Any], text: str) -> Iterator[tuple[int, int, list[Any]]]:
    """Spans of the text in characters, which Google counts in bytes, and indices of sources."""
    raw = text.encode()
    for support in listed(grounding.get("groundingSupports")):
        segment = support.get("segment") or {}
        start = segment.get("startIndex") or 0
        end = segment.get("endIndex") or 0
        if type(start) is int and type(end) is int and 0 <= start <= end <= len(raw):
            indices = support.get("groundingChunkIndices") or []
            yield _characters(raw[:start]), _characters(raw[:end]), list(indices)


def _characters(raw: bytes) -> int:
    return len(raw.decode("utf-8", "ignore"))


def _citation(web: Mapping[str, Any], start: int, end: int) -> list[dict[str, Any]]:
    uri, title = web.get("uri"), web.get("title")
    if not isinstance(uri, str) or not uri:
        return []
    citation = {"url": uri, "title": title if isinstance(title, str) else uri}
    span = {"start_index": start, "end_index": end}
    return [{"type": "url_citation", "url_citation": citation | span}]
