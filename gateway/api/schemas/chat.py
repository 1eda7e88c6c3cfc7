"""POST /v1/chat/completions. https://platform.openai.com/docs/api-reference/chat/create"""

from __future__ import annotations

from typing import Any

from marshmallow import fields, missing

from gateway.api.schemas import parts
from gateway.api.schemas.fields import (
    Choice,
    Flag,
    Number,
    Object,
    RequestSchema,
    String,
    Strings,
    WholeNumber,
)
from gateway.api.schemas.members import IMAGE_CONFIG, RESPONSE_FORMAT, THINKING
from gateway.api.schemas.tools import ToolChoice, Tools
from gateway.domain.requests import ChatRequest

_OURS = ("model", "messages", "stream", "stream_options", "media_format", "auto_delete")


_MESSAGE = {
    "type": "object",
    "required": ["role"],
    "properties": {
        "role": {"type": "string", "enum": list(parts.ROLES)},
        "content": {"type": ["string", "array", "null"]},
    },
}


class Messages(fields.Raw):
    def __init__(self) -> None:
        shape = {"type": "array", "minItems": 1, "items": _MESSAGE}
        super().__init__(required=True, metadata=shape)

    def _deserialize(self, value: Any, attr: Any, data: Any, **_: Any) -> tuple[Any, ...]:
        return parts.messages(value)


class Label(String):
    """A string that names somebody; objects, which some clients send instead, are not used."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kw: Any) -> Any:
        return missing if isinstance(value, dict) else super()._deserialize(value, attr, data, **kw)


class ChatRequestSchema(RequestSchema):
    model = String(256, required=True)
    messages = Messages()
    stream = Flag(load_default=False)
    stream_options = Object()
    media_format = Choice("parts", "markdown")
    auto_delete = Flag(load_default=True)

    temperature = Number(0, 2)
    top_p = Number(0, 1)
    max_tokens = WholeNumber(1)
    max_completion_tokens = WholeNumber(1)
    n = WholeNumber(1, 128)
    stop = Strings()
    seed = WholeNumber()
    presence_penalty = Number(-2, 2)
    frequency_penalty = Number(-2, 2)
    logit_bias = Object()
    logprobs = Flag()
    top_logprobs = WholeNumber(0, 20)
    tools = Tools()
    tool_choice = ToolChoice()
    parallel_tool_calls = Flag()
    response_format = Object(RESPONSE_FORMAT)
    reasoning_effort = Choice("none", "minimal", "low", "medium", "high", "xhigh", "max")
    thinking = Object(THINKING)
    modalities = Strings()
    image_config = Object(IMAGE_CONFIG)
    web_search_options = Object()
    top_k = WholeNumber(-1)
    min_p = Number(0, 1)
    repetition_penalty = Number(0)
    service_tier = String()
    user = Label()
    metadata = Object()
    store = Flag()
    verbosity = String()
    prediction = Object()
    safety_identifier = String()
    prompt_cache_key = String()
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
