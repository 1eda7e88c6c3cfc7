"""`POST /chat/completions` of Ark."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator

from flask import Blueprint, Response

from gateway.simulators.ark.files import active_file
from gateway.simulators.ark.media import CHAT, invalid, load_image, load_kind
from gateway.simulators.ark.models import chat_model
from gateway.simulators.ark.protocol import ArkError, open_json_call
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
from gateway.simulators.chat.conversation import read
from gateway.simulators.fields import Fields
from gateway.simulators.media.inputs import Unreadable, decode_base64
from gateway.simulators.media.media_info import MediaInfo, describe
from gateway.simulators.streams import stream_frames

bp = Blueprint("chat", __name__)

_ROLES = ("system", "user", "assistant", "tool")
_DETAILS = ("low", "high", "xhigh", "auto")
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_LIMIT_BYTES = 50 * 1024 * 1024
_MOST_TOKENS = 65_536


@bp.post("/chat/completions")
def create() -> Response:
    """Answer a conversation, whole or as a stream."""
    call, body = open_json_call("ark.chat")
    thinks = chat_model(body.required_text("model"))
    limits = _read_parameters(body)
    media = {
        "image_url": lambda part: _image(part, call),
        "video_url": lambda part: _video(part, call),
        "input_audio": _audio,
        "file": lambda part: active_file(part.required_inner("file"), call),
    }
    talk = read(body, _ROLES, media)
    if "blocked" in call.behaviour:
        message = "The request failed because the input text may contain sensitive information."
        raise ArkError(400, "InputTextSensitiveContentDetected", message)
    thought = _thought(body, thinks)
    answers = [give_answer(call, body, talk, limits, thought) for _ in range(limits.choices)]
    head = {
        "id": f"02{time.time_ns() // 1_000_000}{secrets.token_hex(9)}",
        "created": int(time.time()),
        "model": body.data["model"],
        "service_tier": "default",
    }
    cached = cached_tokens(call, str(head["model"]), talk)
    total = usage(talk.tokens, cached, answers)
    if body.flag("stream"):
        frames = _stream(call, head, answers, total, body)
        return stream_response(frames, "text/event-stream; charset=utf-8")
    choices = [
        {
            "index": at,
            **_ending(answer, call),
            "logprobs": logprobs(body, answer.pieces),
            "message": answer.message(),
        }
        for at, answer in enumerate(answers)
    ]
    return json_response({**head, "object": "chat.completion", "choices": choices, "usage": total})


def _read_parameters(body: Fields) -> Limits:
    if "max_tokens" in body and "max_completion_tokens" in body:
        raise body.invalid("max_tokens", "cannot be set together with max_completion_tokens")
    most = body.integer("max_tokens", 1, 10**9)
    most = body.integer("max_completion_tokens", 1, _MOST_TOKENS) or most
    body.number("temperature", 0, 2)
    body.number("top_p", 0, 1)
    body.number("frequency_penalty", -2, 2)
    body.number("presence_penalty", -2, 2)
    body.number("repetition_penalty", 0, 10)
    body.flag("logprobs")
    body.integer("top_logprobs", 0, 20)
    body.inner("logit_bias")
    body.integer("seed", -(2**63), 2**63 - 1)
    body.choice("reasoning_effort", _EFFORTS)
    body.choice("service_tier", ("auto", "default", "fast", "flex"))
    body.text("user")
    options = body.inner("stream_options")
    if options:
        options.flag("include_usage")
        options.flag("chunk_include_usage")
    return Limits(most, body.integer("n", 1, 128) or 1, body.strings("stop", most=4))


def _thought(body: Fields, thinks: bool) -> tuple[str, ...]:
    thinking = body.inner("thinking")
    wanted = thinking.choice("type", ("enabled", "disabled", "auto")) if thinking else None
    off = wanted == "disabled" or body.data.get("reasoning_effort") in ("none", "minimal")
    return THOUGHT if thinks and not off else ()


def _ending(answer: Answer, call: Call) -> dict[str, object]:
    hit = "violence" if answer.finish == "content_filter" else None
    return {"finish_reason": answer.finish, "moderation_hit_type": hit}


def _stream(
    call: Call, head: dict[str, object], answers: list[Answer], total: object, body: Fields
) -> Iterator[bytes]:
    """Return the chunks: thoughts first, then the text word by word, then the endings."""
    options = body.inner("stream_options")
    running = options is not None and options.flag("chunk_include_usage")
    base = {**head, "object": "chat.completion.chunk", "usage": total if running else None}

    def chunk(at: int, delta: dict[str, object], finish: dict[str, object]) -> bytes:
        likely = logprobs(body, [str(delta["content"])] if delta.get("content") else [])
        choice = {"index": at, "delta": delta, **finish, "logprobs": likely}
        return sse({**base, "choices": [choice]})

    opening: list[bytes] = []
    pieces: list[bytes] = []
    for at, answer in enumerate(answers):
        role: dict[str, object] = {"role": "assistant", "content": ""}
        for delta in answer.deltas():
            frames = opening if "reasoning_content" in delta else pieces
            frames.append(chunk(at, {**role, **delta}, {"finish_reason": None}))
            role = {}
    ending = [chunk(at, {"content": ""}, _ending(one, call)) for at, one in enumerate(answers)]
    if options is not None and options.flag("include_usage"):
        ending.append(sse({**base, "choices": [], "usage": total}))
    return stream_frames(call, pieces, opening=opening, ending=[*ending, DONE])


def _image(part: Fields, call: Call) -> MediaInfo:
    image = part.required_inner("image_url")
    if "file_id" in image:
        return active_file(image, call)
    detail = image.data.get("detail")
    if detail is not None and detail not in _DETAILS:
        at = image.at("detail")
        message = f"The image detail {detail!r} of {at} is not valid."
        raise ArkError(400, "InvalidArgumentError.InvalidImageDetail", message, at)
    _check_pixel_limit(image.inner("image_pixel_limit") or image)
    return load_image(image.data.get("url", ""), image.at("url"), CHAT)


def _check_pixel_limit(limit: Fields) -> None:
    least, most = limit.data.get("min_pixels"), limit.data.get("max_pixels")
    for value in (least, most):
        if value is not None and (not isinstance(value, int) or not 196 <= value <= 36_000_000):
            message = f"The pixel limit of {limit.path} is not valid."
            raise ArkError(400, "InvalidArgumentError.InvalidPixelLimit", message, limit.path)


def _video(part: Fields, call: Call) -> MediaInfo:
    video = part.required_inner("video_url")
    video.number("fps", 0.2, 5)
    if "file_id" in video:
        return active_file(video, call)
    return load_kind(video, "url", "video", _LIMIT_BYTES)


def _audio(part: Fields) -> MediaInfo:
    audio = part.required_inner("input_audio")
    if "url" in audio:
        return load_kind(audio, "url", "audio", _LIMIT_BYTES)
    audio.required_text("format")
    try:
        return describe(decode_base64(audio.required_text("data")))
    except Unreadable as error:
        raise invalid(audio.at("data"), str(error)) from error
