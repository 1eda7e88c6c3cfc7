"""POST /v1/completions, as one ChatRequest for each prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from marshmallow import fields

from gateway.api.schemas.fields import (
    Flag,
    Number,
    Object,
    RequestSchema,
    String,
    Strings,
    WholeNumber,
)
from gateway.domain.errors import InvalidRequest
from gateway.domain.requests import ChatRequest, Message, Text

_MOST_PROMPTS = 20
_OURS = ("model", "prompt", "stream", "stream_options", "suffix", "echo", "best_of", "logprobs")


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    chats: tuple[ChatRequest, ...]
    echo: bool

    @property
    def prompts(self) -> tuple[str, ...]:
        return tuple(chat.messages[0].text for chat in self.chats)

    @property
    def choices(self) -> int:
        """The number of choices for each prompt."""
        return self.chats[0].params.get("n", 1)


class CompletionSchema(RequestSchema):
    model = String(256, required=True)
    prompt = fields.Raw(required=True)
    suffix = String()
    stream = Flag(load_default=False)
    stream_options = Object()
    echo = Flag(load_default=False)
    best_of = WholeNumber(1)
    logprobs = WholeNumber(0)

    temperature = Number(0, 2)
    top_p = Number(0, 1)
    max_tokens = WholeNumber(1)
    n = WholeNumber(1, 128)
    stop = Strings()
    seed = WholeNumber()
    presence_penalty = Number(-2, 2)
    frequency_penalty = Number(-2, 2)
    logit_bias = Object()
    user = String()

    def build(self, data: dict[str, Any]) -> CompletionRequest:
        if data.get("suffix"):
            raise InvalidRequest(
                "suffix: models of chat do not fill text in; leave it out.", param="suffix"
            )
        if data.get("logprobs"):
            raise InvalidRequest(
                "logprobs: ask for them with POST /v1/chat/completions.", param="logprobs"
            )
        if data.get("best_of", 1) > data.get("n", 1):
            raise InvalidRequest("best_of must not be greater than n.", param="best_of")
        options = data.get("stream_options") or {}
        params = {name: value for name, value in data.items() if name not in _OURS}
        chats = [
            ChatRequest(
                model=data["model"],
                messages=(Message("user", (Text(prompt),)),),
                params=params,  # type: ignore[arg-type]
                stream=data["stream"],
                include_usage=options.get("include_usage") is True,
            )
            for prompt in _prompts(data["prompt"])
        ]
        return CompletionRequest(tuple(chats), data["echo"])


def _prompts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if not isinstance(value, list) or not value or not all(isinstance(p, str) for p in value):
        raise InvalidRequest(
            "prompt must be a string or a list of strings; tokens cannot be read.", param="prompt"
        )
    if len(value) > _MOST_PROMPTS:
        raise InvalidRequest(f"prompt must not hold more than {_MOST_PROMPTS}.", param="prompt")
    return value
