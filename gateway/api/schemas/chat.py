"""POST /v1/chat/completions. https://platform.openai.com/docs/api-reference/chat/create"""

from __future__ import annotations

from typing import Any

from gateway.api.schemas.fields import (
    Flag,
    Label,
    MessagesField,
    Number,
    Object,
    Objects,
    RequestSchema,
    StopField,
    ToolChoice,
    Word,
)
from gateway.api.schemas.members import IMAGE_CONFIG, RESPONSE_FORMAT, THINKING, TOOL
from gateway.domain.requests import ChatRequest

_OURS = ("model", "messages", "stream", "stream_options", "media_format", "auto_delete")


class ChatRequestSchema(RequestSchema):
    model = Word(required=True, longest=256)
    messages = MessagesField(required=True)
    stream = Flag(load_default=False)
    stream_options = Object()
    media_format = Word("parts", "markdown")
    auto_delete = Flag(load_default=True)

    temperature = Number(0, 2)
    top_p = Number(0, 1)
    max_tokens = Number(1, whole=True)
    max_completion_tokens = Number(1, whole=True)
    n = Number(1, 128, whole=True)
    stop = StopField()
    seed = Number(whole=True)
    presence_penalty = Number(-2, 2)
    frequency_penalty = Number(-2, 2)
    logit_bias = Object()
    logprobs = Flag()
    top_logprobs = Number(0, 20, whole=True)
    tools = Objects(TOOL)
    tool_choice = ToolChoice()
    parallel_tool_calls = Flag()
    response_format = Object(RESPONSE_FORMAT)
    reasoning_effort = Word("none", "minimal", "low", "medium", "high", "xhigh", "max")
    thinking = Object(THINKING)
    modalities = StopField()
    image_config = Object(IMAGE_CONFIG)
    web_search_options = Object()
    top_k = Number(-1, whole=True)
    min_p = Number(0, 1)
    repetition_penalty = Number(0)
    service_tier = Word()
    user = Label()
    metadata = Object()
    store = Flag()
    verbosity = Word()
    prediction = Object()
    safety_identifier = Word()
    prompt_cache_key = Word()
    chat_template_kwargs = Object()
    enable_thinking = Flag()

    def build(self, data: dict[str, Any]) -> ChatRequest:
        ours = {name: data.pop(name) for name in _OURS if name in data}
        options = ours.pop("stream_options", {})
        if not data.get("tools"):  # an empty list, and a choice among none
            for name in ("tools", "tool_choice", "parallel_tool_calls"):
                data.pop(name, None)
        return ChatRequest(
            params=data,  # type: ignore[arg-type]
            include_usage=options.get("include_usage") is True,
            **ours,
        )
