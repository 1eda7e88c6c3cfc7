"""generateContent, whole and streamed, and countTokens.

A stream is server-sent events with `alt=sse`, and one JSON array without it.
There is no terminator but the finish reason of the last chunk.
https://ai.google.dev/api/generate-content
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson
from flask import Response, request

from gateway.simulators.calls import Call, stream_response
from gateway.simulators.gemini import errors
from gateway.simulators.gemini.answers import Answer, Part, answer
from gateway.simulators.gemini.models import Model
from gateway.simulators.gemini.options import check_config, check_tools
from gateway.simulators.gemini.prompts import Prompt, read_prompt
from gateway.simulators.gemini.protocol import VERSION, bp, model_of, open_call
from gateway.simulators.gemini.schemas import COUNT_TOKENS, GENERATE_CONTENT
from gateway.simulators.google.http import check_query, google_json, json_body, read_payload
from gateway.simulators.prompt_cache import PromptCaches
from gateway.simulators.state import current_state
from gateway.simulators.streams import stream_frames


@dataclass(frozen=True, slots=True)
class Work:
    """A request that was accepted, with the answer to it."""

    call: Call
    model: Model
    prompt: Prompt
    candidates: int
    answer: Answer | None
    """None when the prompt is blocked."""

    response_id: str
    cached: int


@bp.post(f"/{VERSION}/models/<model_id>:generateContent")
def generate(version: str, model_id: str) -> Response:
    """Answer at once, or when `long` is over."""
    work = _accept("generateContent", version, model_id)
    if work.answer is None:
        return google_json(_blocked(work))
    parts = [step.part for step in work.answer.steps]
    if work.answer.closing is not None:
        parts.append(work.answer.closing)
    merged = _merge(parts)
    candidates = [_candidate(at, merged, work.answer.finish) for at in range(work.candidates)]
    return google_json(_chunk(work, candidates, len(work.answer.steps)))


@bp.post(f"/{VERSION}/models/<model_id>:streamGenerateContent")
def stream_generate(version: str, model_id: str) -> Response:
    """Answer word by word."""
    work = _accept("streamGenerateContent", version, model_id)
    sse = request.args.get("alt") == "sse"
    frames = [orjson.dumps(chunk) for chunk in _chunks(work)]
    if "failed" in work.call.behaviour and work.model.kind != "image":
        return _broken_off(work, frames, sse=sse)
    if sse:
        events = [b"data: " + frame + b"\r\n\r\n" for frame in frames]
        stream = stream_frames(
            work.call, events[:-1], ending=events[-1:], garbage=b"data: {]\r\n\r\n"
        )
        return stream_response(stream, "text/event-stream")
    items = [frame + b"\n,\r\n" for frame in frames[:-1]]
    ending = [frames[-1] + b"\n]"]
    stream = stream_frames(work.call, items, opening=[b"["], ending=ending, garbage=b"{]\n,\r\n")
    return stream_response(stream, "application/json; charset=UTF-8")


@bp.post(f"/{VERSION}/models/<model_id>:countTokens")
def count(version: str, model_id: str) -> Response:
    """Count the tokens of a prompt."""
    body = json_body()
    call = open_call("countTokens", body)
    check_query()
    model = model_of(model_id, version, "countTokens")
    payload = read_payload(COUNT_TOKENS, body)
    prompt = read_prompt(payload.get("generateContentRequest", payload), model, call.credential)
    return google_json(
        {
            "totalTokens": sum(prompt.tokens.values()),
            "promptTokensDetails": _details(prompt.tokens),
        }
    )


@bp.post(f"/{VERSION}/models/<model_id>:<any(predictLongRunning, predict):method>")
def predict(version: str, model_id: str, method: str) -> Response:
    """Refuse the methods of the retired image and video models."""
    open_call(method, json_body(), main=True)
    model_of(model_id, version, method)
    raise errors.model_not_found(model_id, version, method)


def _accept(method: str, version: str, model_id: str) -> Work:
    body = json_body()
    call = open_call(method, body, main=True)
    check_query()
    model = model_of(model_id, version, method)
    errors.refuse_work(call, model_id)
    payload = read_payload(GENERATE_CONTENT, body)
    config: dict[str, Any] = payload.get("generationConfig", {})
    check_config(config, model)
    check_tools(payload, model)
    prompt = read_prompt(payload, model, call.credential)
    blocked = "blocked" in call.behaviour
    caches = current_state().store(PromptCaches)
    return Work(
        call,
        model,
        prompt,
        config.get("candidateCount", 1),
        None if blocked else answer(payload, prompt, model, call.behaviour),
        secrets.token_urlsafe(16),
        caches.cached_tokens(call.credential, model_id, prompt.messages),
    )


def _chunks(work: Work) -> Iterator[dict[str, Any]]:
    """Yield one chunk for each step of each candidate, and the one that finishes."""
    if work.answer is None:
        yield _blocked(work)
        return
    for done, step in enumerate(work.answer.steps, 1):
        for at in range(work.candidates):
            yield _chunk(work, [_candidate(at, [step.part], None)], done)
    closing = [] if work.answer.closing is None else [work.answer.closing]
    done = len(work.answer.steps)
    for at in range(work.candidates):
        yield _chunk(work, [_candidate(at, closing, work.answer.finish)], done)


def _broken_off(work: Work, frames: list[bytes], *, sse: bool) -> Response:
    """Send half of the answer, then an error in the vendor's way: bare, between the events."""
    error = orjson.dumps(errors.internal().body(), option=orjson.OPT_INDENT_2)
    half = frames[: len(frames) // 2]
    if sse:
        events = [b"data: " + frame + b"\r\n\r\n" for frame in half]
        return stream_response(
            stream_frames(work.call, events, ending=[error]), "text/event-stream"
        )
    items = [frame + b"\n,\r\n" for frame in half]
    stream = stream_frames(work.call, items, opening=[b"["], ending=[error + b"\n]"])
    return stream_response(stream, "application/json; charset=UTF-8")


def _chunk(work: Work, candidates: list[dict[str, Any]], steps_done: int) -> dict[str, Any]:
    """Return a response, with the usage after so many steps."""
    return {
        "candidates": candidates,
        "usageMetadata": _usage(work, steps_done),
        "modelVersion": work.model.version,
        "responseId": work.response_id,
    }


def _candidate(index: int, parts: list[Part], finish: str | None) -> dict[str, Any]:
    """Return a candidate; one that was stopped by a filter ends without content."""
    candidate: dict[str, Any] = {}
    if parts:
        candidate["content"] = {"parts": parts, "role": "model"}
    if finish is not None:
        candidate["finishReason"] = finish
    if finish == "SAFETY":
        candidate["safetyRatings"] = [
            {
                "category": "HARM_CATEGORY_DANGEROUS_CONTENT",
                "probability": "HIGH",
                "blocked": True,
            }
        ]
    if finish in ("NO_IMAGE", "IMAGE_SAFETY"):
        candidate["finishMessage"] = "Unable to show the generated image."
    return candidate | {"index": index}


def _blocked(work: Work) -> dict[str, Any]:
    """Return the answer to a prompt that was refused: a 200 without candidates."""
    prompt = sum(work.prompt.tokens.values())
    return {
        "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"},
        "usageMetadata": {
            "promptTokenCount": prompt,
            "totalTokenCount": prompt,
            "promptTokensDetails": _details(work.prompt.tokens),
        },
        "modelVersion": work.model.version,
        "responseId": work.response_id,
    }


def _usage(work: Work, steps_done: int) -> dict[str, Any]:
    assert work.answer is not None
    prompt = sum(work.prompt.tokens.values())
    said: dict[str, int] = {}
    for step in work.answer.steps[:steps_done]:
        said[step.modality] = said.get(step.modality, 0) + step.tokens * work.candidates
    total = prompt + sum(said.values()) + work.answer.thoughts
    usage: dict[str, Any] = {
        "promptTokenCount": prompt,
        "candidatesTokenCount": sum(said.values()),
        "totalTokenCount": total,
        "promptTokensDetails": _details(work.prompt.tokens),
    }
    if "IMAGE" in said:
        usage["candidatesTokensDetails"] = _details(said)
    if work.cached:
        usage["cachedContentTokenCount"] = work.cached
    if work.answer.thoughts:
        usage["thoughtsTokenCount"] = work.answer.thoughts
    return usage


def _details(tokens: dict[str, int]) -> list[dict[str, Any]]:
    return [
        {"modality": modality, "tokenCount": count} for modality, count in tokens.items() if count
    ]


def _merge(parts: list[Part]) -> list[Part]:
    """Join neighbouring texts of one kind, as an answer that is not streamed has them."""
    merged: list[Part] = []
    for part in parts:
        before = merged[-1] if merged else {}
        if "text" in part and "text" in before and part.get("thought") == before.get("thought"):
            merged[-1] = {**before, **part, "text": before["text"] + part["text"]}
        else:
            merged.append(part)
    return merged
