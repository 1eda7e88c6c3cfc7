"""Chat requests as Ark takes them. https://www.volcengine.com/docs/82379/1494384"""

from __future__ import annotations

import re
from typing import Any

from gateway.domain.errors import InvalidRequest
from gateway.domain.media import Media
from gateway.domain.requests import ChatParams, ChatRequest
from gateway.upstreams.openai.messages import media_part, write_messages

_KNOWN = frozenset(
    {
        "temperature",
        "top_p",
        "max_tokens",
        "max_completion_tokens",
        "n",
        "stop",
        "presence_penalty",
        "frequency_penalty",
        "repetition_penalty",
        "logit_bias",
        "logprobs",
        "top_logprobs",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "response_format",
        "reasoning_effort",
        "thinking",
        "service_tier",
        "user",
    }
)
_PENALTIES = ("presence_penalty", "frequency_penalty")
_TIERS = frozenset({"auto", "default", "fast", "flex"})
_MOST_STOPS = 4
_SEED = re.compile(r"(?:^|-)seed-(\d+)-(\d+)")
_DETAILS = {"low": "low", "high": "high", "xhigh": "xhigh", "original": "xhigh"}


def chat_body(request: ChatRequest) -> dict[str, Any]:
    body: dict[str, Any] = {
        "model": request.model,
        "messages": write_messages(request.messages, _part),
    }
    if request.params:
        body.update(fit_params(request.model, request.params)[0])
    if request.stream:
        body["stream"] = True
        body["stream_options"] = {"include_usage": True}
    return body


def fit_params(model: str, params: ChatParams) -> tuple[dict[str, Any], list[str]]:
    """The parameters as Ark takes them, and the names of those it has no place for.

    An effort of `none` is thinking switched off; with thinking off Ark takes no effort
    but `minimal`.
    """
    given: dict[str, Any] = dict(params)
    sent = {name: value for name, value in given.items() if name in _KNOWN}
    if sent.get("max_completion_tokens") is not None:
        sent.pop("max_tokens", None)
    if len(sent.get("stop", ())) > _MOST_STOPS:
        del sent["stop"]
    if sent.get("service_tier", "auto") not in _TIERS:
        del sent["service_tier"]
    if any(name in sent for name in _PENALTIES) and _without_penalties(model):
        for name in _PENALTIES:
            sent.pop(name, None)
    dropped = given.keys() - sent.keys()
    if "enable_thinking" in given and "thinking" not in sent:
        dropped.discard("enable_thinking")
        sent["thinking"] = {"type": "enabled" if given["enable_thinking"] else "disabled"}
    if sent.get("reasoning_effort") == "none":
        del sent["reasoning_effort"]
        sent.setdefault("thinking", {"type": "disabled"})
    if _off(sent.get("thinking")) and sent.get("reasoning_effort", "minimal") != "minimal":
        del sent["reasoning_effort"]
        dropped.add("reasoning_effort")
    return sent, sorted(dropped)


def _off(thinking: Any) -> bool:
    return isinstance(thinking, dict) and thinking.get("type") == "disabled"


def _without_penalties(model: str) -> bool:
    version = _SEED.search(model)
    return version is not None and (int(version[1]), int(version[2])) >= (1, 8)


def _part(media: Media, path: str) -> dict[str, Any]:
    part = media_part(media, path)
    if part["type"] == "file":
        raise InvalidRequest(
            f"Ark takes pictures, videos and audio, but not {media.mime_type}", param=path
        )
    if image := part.get("image_url"):
        detail = _DETAILS.get(image.pop("detail", ""))
        if detail:
            image["detail"] = detail
    return part
