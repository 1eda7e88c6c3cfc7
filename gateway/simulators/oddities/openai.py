"""Oddities of chats and images in OpenAI's shape."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from flask import Response

from gateway.simulators.oddities import bodies, encodings
from gateway.simulators.oddities.bodies import Change, Frame, Frames

_ERROR = {"code": 500, "message": "failed to decode", "type": "server_error"}
_SOURCE = {"url": "https://example.com/weather", "title": "Weather"}


def as_events(response: Response) -> Response:
    """Return a whole answer as an event stream, though nobody asked for one."""
    frames = bodies.read(response.get_data(), response.content_type or "")
    if frames is None or frames.kind != "json":
        return response
    (answer,) = frames.documents
    head = {name: answer[name] for name in ("id", "created", "model")}
    head["object"] = "chat.completion.chunk"
    chunks = []
    for choice in answer["choices"]:
        delta, end = choice["message"], choice["finish_reason"]
        chunks.append({**head, "choices": [{"index": choice["index"], "delta": delta}]})
        last = {"index": choice["index"], "delta": {}, "finish_reason": end}
        chunks.append({**head, "choices": [last], "usage": answer["usage"]})
    return Response(bodies.events(chunks), content_type="text/event-stream")


def _choices(frames: Frames) -> list[dict[str, Any]]:
    return [choice for document in frames.documents for choice in document.get("choices", ())]


def _said(choice: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = choice["delta"] if "delta" in choice else choice["message"]
    return found


def _texts(frames: Frames) -> list[int]:
    """Return the places of the frames that bring text."""
    return [
        at
        for at, frame in enumerate(frames.items)
        if frame.raw is None
        and any(_said(choice).get("content") for choice in frame.document.get("choices", ()))
    ]


def _half(frames: Frames) -> Frames:
    """Leave out the second half of the text."""
    texts = _texts(frames)
    if frames.kind == "json":
        for choice in _choices(frames):
            text = _said(choice).get("content") or ""
            _said(choice)["content"] = text[: len(text) // 2]
        return frames
    dropped = set(texts[len(texts) // 2 :])
    return replace(frames, items=tuple(f for at, f in enumerate(frames.items) if at not in dropped))


def _ended(reason: str) -> Change:
    def change(frames: Frames, _: int) -> Frames:
        frames = _half(frames)
        for choice in _choices(frames):
            if choice.get("finish_reason"):
                choice["finish_reason"] = reason
        return frames

    return change


def _error_line(frames: Frames, after: int) -> Frames:
    """Put a line `error:` after so many pieces, and leave only the ending behind it."""
    if frames.kind == "json":
        return replace(frames, items=(Frame({"error": _ERROR}),))
    texts = _texts(frames)
    at = texts[after] if after < len(texts) else len(frames.items) - 1
    line = Frame(raw=b"error: " + json.dumps(_ERROR).encode())
    return replace(frames, items=(*frames.items[:at], line, frames.items[-1]))


def _summary(frames: Frames, _: int) -> Frames:
    if frames.kind == "json":
        return frames
    text = "".join(_said(choice).get("content") or "" for choice in _choices(frames))
    last = frames.documents[-1]
    message = {"role": "assistant", "content": text}
    whole = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    document = {**last, "object": "chat.completion", "choices": [whole], "usage": usage}
    return frames.inserted(len(frames.items) - 1, Frame(document))


def _half_characters(frames: Frames, _: int) -> Frames:
    if frames.kind == "json":
        for choice in _choices(frames):
            _said(choice)["content"] = (_said(choice).get("content") or "") + " ok \ud83d"
        return frames
    texts = _texts(frames)
    if not texts:
        return frames
    first = frames.items[texts[-1]]
    halves = [_with_text(first.document, text) for text in (" ok \ud83d", "\ude00 done")]
    return frames.inserted(texts[-1] + 1, *map(Frame, halves))


def _with_text(document: dict[str, Any], text: str) -> dict[str, Any]:
    choice = {**document["choices"][0], "delta": {"content": text}, "logprobs": None}
    return {**document, "choices": [choice]}


def _non_finite(frames: Frames, _: int) -> Frames:
    for choice in _choices(frames):
        top = {"token": "#", "bytes": [35], "logprob": -math.inf}
        token = {"token": "No", "bytes": None, "logprob": -0.1, "top_logprobs": [top]}
        choice["logprobs"] = {"content": [token], "refusal": None}
    return frames


def _thoughts_beside(frames: Frames, _: int) -> Frames:
    for usage in _usages(frames):
        thoughts = usage.setdefault("completion_tokens_details", {})
        thoughts["reasoning_tokens"] = thoughts.get("reasoning_tokens") or 7
        usage["completion_tokens"] = max(1, usage["completion_tokens"] - 5)
        parts = usage["prompt_tokens"], usage["completion_tokens"], thoughts["reasoning_tokens"]
        usage["total_tokens"] = sum(parts)
    return frames


def _text_numbers(frames: Frames, _: int) -> Frames:
    for usage in _usages(frames):
        usage["prompt_tokens"] = float(usage["prompt_tokens"])
        for name in ("completion_tokens", "total_tokens"):
            usage[name] = str(usage[name])
    return frames


def _usages(frames: Frames) -> list[dict[str, Any]]:
    return [document["usage"] for document in frames.documents if document.get("usage")]


def _no_arguments(frames: Frames, _: int) -> Frames:
    for choice in _choices(frames):
        for call in _said(choice).get("tool_calls") or ():
            call["function"]["arguments"] = ""
    return frames


def _sources(frames: Frames, _: int) -> Frames:
    citation = {
        "type": "url_citation",
        "url_citation": {**_SOURCE, "start_index": 0, "end_index": 4},
    }
    for choice in _choices(frames)[-1:]:
        _said(choice).setdefault("annotations", []).append(citation)
    return frames


def _one_object(frames: Frames, _: int) -> Frames:
    for document in frames.documents:
        if document.get("data"):
            document["data"] = document["data"][0]
    return frames


def _in_words(frames: Frames, _: int) -> Frames:
    for document in frames.documents:
        document["data"] = []
        document["message"] = "I cannot draw a real person in that situation."
    return frames


CHAT: Mapping[str, Change] = MappingProxyType(
    {
        "newfinish": _ended("paused_by_policy"),
        "continued": _ended("MAX_TOKENS"),
        "errorline": _error_line,
        "summary": _summary,
        "halfchars": _half_characters,
        "nonfinite": _non_finite,
        "thoughtsbeside": _thoughts_beside,
        "textnumbers": _text_numbers,
        "noargs": _no_arguments,
        "sources": _sources,
    }
)
IMAGES: Mapping[str, Change] = MappingProxyType(
    {**encodings.CHANGES, "oneobject": _one_object, "inwords": _in_words}
)
