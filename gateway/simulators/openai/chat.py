"""`POST /chat/completions` and `GET /models` of OpenAI-compatible servers."""

from __future__ import annotations

import base64
import secrets
import time
from collections.abc import Iterator

from flask import Blueprint, Response

from gateway.simulators.calls import Call, json_response, stream_response
from gateway.simulators.chat.completions import (
    DONE,
    THOUGHT,
    Answer,
    Limits,
    cached_tokens,
    give_answer,
    logprobs,
    sse,
    usage,
)
from gateway.simulators.chat.conversation import Conversation, lacks_reasoning, read
from gateway.simulators.fields import Fields
from gateway.simulators.media.images import generate_image
from gateway.simulators.openai.media import MEDIA
from gateway.simulators.openai.protocol import (
    OpenAIError,
    check_model,
    open_call,
    open_json_call,
)
from gateway.simulators.streams import stream_frames

bp = Blueprint("chat", __name__)

_ROLES = ("developer", "system", "user", "assistant", "tool")
_OPENAI = (
    *("audio", "frequency_penalty", "function_call", "functions", "logit_bias", "logprobs"),
    *("max_completion_tokens", "max_tokens", "messages", "metadata", "modalities", "model"),
    *("moderation", "n", "parallel_tool_calls", "prediction", "presence_penalty"),
    *("prompt_cache_key", "prompt_cache_options", "prompt_cache_retention", "reasoning_effort"),
    *("response_format", "safety_identifier", "seed", "service_tier", "stop", "store", "stream"),
    *("stream_options", "temperature", "tool_choice", "tools", "top_logprobs", "top_p", "user"),
    *("verbosity", "web_search_options"),
)
# What vLLM, Ollama and their like take besides.
_COMPATIBLE = ("top_k", "min_p", "repetition_penalty", "chat_template_kwargs", "thinking")
_KNOWN = frozenset((*_OPENAI, *_COMPATIBLE))
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_TIERS = ("auto", "default", "flex", "scale", "priority", "fast")
_MODELS = ("sim-chat", "sim-reason", "gpt-image-2", "sim-image")
_CREATED_AT = 1_760_486_400
_IMAGE_PX = 256


@bp.get("/models")
def list_models() -> Response:
    """List some of the models; every name that does not begin with `unknown` is served."""
    open_call("openai.models", main=False)
    return json_response({"object": "list", "data": [_model(name) for name in _MODELS]})


@bp.get("/models/<path:name>")
def retrieve_model(name: str) -> Response:
    """Describe a model."""
    open_call("openai.models.get", main=False)
    check_model(name)
    return json_response(_model(name))


@bp.post("/chat/completions")
def create() -> Response:
    """Answer a conversation, whole or as a stream."""
    call, body = open_json_call("openai.chat")
    model = body.required_text("model")
    check_model(model)
    body.refuse_unknown(_KNOWN)
    limits = _read_parameters(body)
    talk = read(body, _ROLES, MEDIA)
    _refuse(call, body)
    reasons = "reason" in model or "thoughtful" in call.behaviour
    thinks = reasons and body.data.get("reasoning_effort") != "none"
    thought = THOUGHT if thinks else ()
    answers = [give_answer(call, body, talk, limits, thought) for _ in range(limits.choices)]
    images = _images(call, body, talk)
    head = {
        "id": f"chatcmpl-{secrets.token_urlsafe(18)}",
        "created": int(time.time()),
        "model": model,
        "system_fingerprint": None,
        "service_tier": "default",
    }
    total = usage(talk.tokens, cached_tokens(call, model, talk), answers)
    if body.flag("stream"):
        frames = _stream(call, head, answers, images, total, body)
        return stream_response(frames, "text/event-stream; charset=utf-8")
    choices = [
        {
            "index": at,
            "finish_reason": answer.finish,
            "logprobs": logprobs(body, answer.pieces),
            "message": {**answer.message(), "refusal": None, **images},
        }
        for at, answer in enumerate(answers)
    ]
    return json_response({**head, "object": "chat.completion", "choices": choices, "usage": total})


def _model(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": _CREATED_AT, "owned_by": "simulators"}


def _refuse(call: Call, body: Fields) -> None:
    """Raise the refusal of the content that the words ask for."""
    if "blocked" in call.behaviour:
        message = "The request was rejected as a result of the safety system."
        raise OpenAIError(400, message, "content_policy_violation")
    if "thoughtful" in call.behaviour and lacks_reasoning(body):
        message = "The `reasoning_content` in the thinking mode must be passed back to the API."
        raise OpenAIError(400, message)
    if "nostreamoptions" in call.behaviour and "stream_options" in body:
        message = "Extra inputs are not permitted"
        raise OpenAIError(422, message, "extra_forbidden", "stream_options")


def _read_parameters(body: Fields) -> Limits:
    if "max_tokens" in body and "max_completion_tokens" in body:
        message = "'max_tokens' and 'max_completion_tokens' cannot be set at the same time."
        raise OpenAIError(400, message, "invalid_parameter_combination", "max_tokens")
    if "stream_options" in body and not body.flag("stream"):
        raise body.invalid("stream_options", "is only allowed when 'stream' is enabled")
    most = body.integer("max_completion_tokens", 1, 10**9)
    most = body.integer("max_tokens", 1, 10**9) or most
    body.number("temperature", 0, 2)
    body.number("top_p", 0, 1)
    body.number("frequency_penalty", -2, 2)
    body.number("presence_penalty", -2, 2)
    body.flag("logprobs")
    body.integer("top_logprobs", 0, 20)
    body.inner("logit_bias")
    body.inner("metadata")
    body.integer("seed", -(2**63), 2**63 - 1)
    body.choice("reasoning_effort", _EFFORTS)
    body.choice("service_tier", _TIERS)
    body.choice("verbosity", ("low", "medium", "high"))
    body.text("user")
    return Limits(most, body.integer("n", 1, 128) or 1, body.strings("stop", most=4))


def _wants_usage(body: Fields) -> bool:
    options = body.inner("stream_options")
    return options is not None and options.flag("include_usage") is True


def _images(call: Call, body: Fields, talk: Conversation) -> dict[str, object]:
    """Return generated images as OpenRouter does, where the caller wants any."""
    if "image" not in call.behaviour and "image" not in body.items("modalities"):
        return {}
    data = base64.b64encode(generate_image(talk.last, _IMAGE_PX, _IMAGE_PX)).decode()
    part = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}}
    return {"images": [part] * max(1, call.behaviour.number("image"))}


def _stream(
    call: Call,
    head: dict[str, object],
    answers: list[Answer],
    images: dict[str, object],
    total: object,
    body: Fields,
) -> Iterator[bytes]:
    """Return the chunks: the roles and thoughts, the text word by word, then the endings."""
    base: dict[str, object] = {**head, "object": "chat.completion.chunk"}
    counted = _wants_usage(body)
    if counted:
        base["usage"] = None

    def chunk(at: int, delta: dict[str, object], finish: str | None = None) -> bytes:
        likely = logprobs(body, [str(delta["content"])] if delta.get("content") else [])
        choice = {"index": at, "delta": delta, "logprobs": likely, "finish_reason": finish}
        return sse({**base, "choices": [choice]})

    opening: list[bytes] = []
    pieces: list[bytes] = []
    for at, answer in enumerate(answers):
        opening.append(chunk(at, {"role": "assistant", "content": ""}))
        for delta in answer.deltas():
            (opening if "reasoning_content" in delta else pieces).append(chunk(at, delta))
    if images:
        pieces.append(chunk(0, images))
    ending = [chunk(at, {}, answer.finish) for at, answer in enumerate(answers)]
    if counted:
        ending.append(sse({**base, "choices": [], "usage": total}))
    return stream_frames(call, pieces, opening=opening, ending=[*ending, DONE])
