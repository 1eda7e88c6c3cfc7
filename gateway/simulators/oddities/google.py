"""Oddities of Gemini's and Gemini Enterprise's answers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from gateway.simulators.oddities import encodings
from gateway.simulators.oddities.bodies import Change, Frame, Frames

_ERROR = {"error": {"code": 500, "message": "Internal error encountered.", "status": "INTERNAL"}}
_WEB = {"uri": "https://example.com/weather", "title": "Weather"}
_REFUSAL = "I cannot draw a real person in that situation. I could draw a fictional one."


def _candidates(frames: Frames) -> list[dict[str, Any]]:
    return [one for document in frames.documents for one in document.get("candidates", ())]


def _parts(candidate: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = candidate.get("content", {}).get("parts", [])
    return found


def _ended(reason: str, token: str = "") -> Change:
    def change(frames: Frames, _: int) -> Frames:
        if frames.kind == "json":
            for candidate in _candidates(frames):
                for part in _parts(candidate):
                    if "text" in part:
                        part["text"] = part["text"][: len(part["text"]) // 2]
        else:
            half = len(frames.items) // 2
            frames = replace(frames, items=(*frames.items[:half], frames.items[-1]))
        for candidate in _candidates(frames):
            if "finishReason" in candidate:
                candidate["finishReason"] = reason
        if token:
            frames.documents[-1]["continuationToken"] = token
        return frames

    return change


def _error_line(frames: Frames, after: int) -> Frames:
    """Put an error after so many pieces, and the ending behind it."""
    if frames.kind == "json":
        return replace(frames, items=(Frame(_ERROR),))
    head = b"event: error\r\n" if frames.kind == "events" else b""
    error = Frame(_ERROR, head)
    return replace(frames, items=(*frames.items[:after], error, frames.items[-1]))


def _half_characters(frames: Frames, _: int) -> Frames:
    candidates = [one for one in _candidates(frames) if any("text" in p for p in _parts(one))]
    if frames.kind == "json" or len(candidates) < 2:
        for candidate in candidates:
            _parts(candidate).append({"text": " ok \ud83d"})
        return frames
    _parts(candidates[-2]).append({"text": " ok \ud83d"})
    _parts(candidates[-1]).insert(0, {"text": "\ude00 done"})
    return frames


def _non_finite(frames: Frames, _: int) -> Frames:
    for candidate in _candidates(frames):
        candidate["avgLogprobs"] = math.nan
    return frames


def _text_numbers(frames: Frames, _: int) -> Frames:
    for document in frames.documents:
        usage = document.get("usageMetadata", {})
        for name in ("promptTokenCount", "candidatesTokenCount", "totalTokenCount"):
            if name in usage:
                usage[name] = str(usage[name])
    return frames


def _no_arguments(frames: Frames, _: int) -> Frames:
    for candidate in _candidates(frames):
        for part in _parts(candidate):
            part.get("functionCall", {}).pop("args", None)
    return frames


def _sources(frames: Frames, _: int) -> Frames:
    for candidate in _candidates(frames)[-1:]:
        segment = {"startIndex": 0, "endIndex": 4, "text": "This"}
        candidate["groundingMetadata"] = {
            "webSearchQueries": ["weather"],
            "groundingChunks": [{"web": _WEB}],
            "groundingSupports": [{"segment": segment, "groundingChunkIndices": [0]}],
        }
    return frames


def _in_words(frames: Frames, _: int) -> Frames:
    for candidate in _candidates(frames):
        if any("inlineData" in part for part in _parts(candidate)):
            candidate["content"]["parts"] = [{"text": _REFUSAL}]
    return frames


def _one_object(frames: Frames, _: int) -> Frames:
    for document in frames.documents:
        if document.get("candidates"):
            document["candidates"] = document["candidates"][0]
    return frames


def _contents(frames: Frames) -> list[dict[str, Any]]:
    return [
        reply["groundedContent"]["content"]
        for document in frames.documents
        for reply in document.get("answer", {}).get("replies", ())
        if reply.get("groundedContent", {}).get("content")
    ]


def _enterprise_state(state: str) -> Change:
    def change(frames: Frames, _: int) -> Frames:
        half = len(frames.items) // 2
        frames = replace(frames, items=(*frames.items[:half], frames.items[-1]))
        frames.documents[-1]["answer"]["state"] = state
        return frames

    return change


def _enterprise_half_characters(frames: Frames, _: int) -> Frames:
    texts = [one for one in _contents(frames) if one.get("text") and not one.get("thought")]
    if len(texts) > 1:
        texts[-2]["text"] += " ok \ud83d"
        texts[-1]["text"] = "\ude00 done" + texts[-1]["text"]
    return frames


def _enterprise_non_finite(frames: Frames, _: int) -> Frames:
    for document in frames.documents:
        document.get("answer", {})["groundingScore"] = -math.inf
    return frames


GEMINI: Mapping[str, Change] = MappingProxyType(
    {
        **encodings.CHANGES,
        "newfinish": _ended("PAUSED_BY_POLICY"),
        "continued": _ended("CONTINUATION", "dG9rZW4="),
        "errorline": _error_line,
        "halfchars": _half_characters,
        "nonfinite": _non_finite,
        "textnumbers": _text_numbers,
        "noargs": _no_arguments,
        "sources": _sources,
        "inwords": _in_words,
        "oneobject": _one_object,
    }
)
ENTERPRISE: Mapping[str, Change] = MappingProxyType(
    {
        "newfinish": _enterprise_state("SUSPENDED"),
        "errorline": _error_line,
        "halfchars": _enterprise_half_characters,
        "nonfinite": _enterprise_non_finite,
    }
)
