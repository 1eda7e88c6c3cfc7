"""POST /v1/messages and /v1/messages/count_tokens, as ChatRequest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from marshmallow import ValidationError, fields

from gateway.api.dialects.messages.errors import ThreadUnsupported
from gateway.api.dialects.messages.tools import demanded, foreign_tools, read_tools
from gateway.api.dialects.messages.turns import referenced_tools, system_message, turns
from gateway.api.schemas.fields import (
    Flag,
    Number,
    Object,
    RequestSchema,
    String,
    Strings,
    WholeNumber,
)
from gateway.domain.requests import ChatParams, ChatRequest

_COPIED = ("temperature", "top_p", "top_k", "max_tokens")
_DEFAULT_EFFORT = "high"  # says no more than no effort at all


class MessagesSchema(RequestSchema):
    """`context_management`, `mcp_servers`, `container` and the like are Anthropic's alone."""

    model = String(256, required=True)
    messages = fields.Raw(required=True)
    max_tokens = WholeNumber(1, required=True)
    stream = Flag(load_default=False)
    system = fields.Raw()
    tools = fields.Raw()
    tool_choice = fields.Raw()
    thinking = Object({"type": str, "budget_tokens": int})
    output_config = Object({"effort": str, "format": {"type": str, "schema": dict}})
    output_format = Object({"type": str, "schema": dict})
    stop_sequences = Strings()
    temperature = Number(0, 2)
    top_p = Number(0, 1)
    top_k = WholeNumber(0)
    metadata = Object()  # names the device and the session of the caller: not for vendors
    cache_control = Object()
    thread = Object()

    def build(self, data: dict[str, Any]) -> ChatRequest:
        if data.get("thread"):
            raise ThreadUnsupported(
                "thread: this server keeps no message threads; send the whole conversation.",
                param="thread",
            )
        system = system_message(data.get("system"))
        messages, params = turns(data["messages"]), _params(data)
        return ChatRequest(
            model=data["model"],
            messages=(*([system] if system else ()), *messages),
            params=params,
            stream=data.get("stream", False),
            include_usage=True,
            demanded=demanded(params, data.get("tool_choice")),
        )

    def unknown_in(self, document: Mapping[str, Any]) -> list[str]:
        """With the tools that run on Anthropic's servers only."""
        return super().unknown_in(document) + foreign_tools(document.get("tools"))


class CountTokensSchema(MessagesSchema):
    max_tokens = WholeNumber(1)


def shows_thinking(document: Mapping[str, Any]) -> bool:
    """Tell whether the caller asked for the model's reasoning."""
    thinking = document.get("thinking")
    return isinstance(thinking, dict) and thinking.get("type") not in (None, "disabled")


def _params(data: Mapping[str, Any]) -> ChatParams:
    params: dict[str, Any] = {name: data[name] for name in _COPIED if name in data}
    referenced = referenced_tools(data["messages"])
    params |= read_tools(data.get("tools"), data.get("tool_choice"), referenced)
    if stop := data.get("stop_sequences"):
        params["stop"] = stop
    config = data.get("output_config") or {}
    effort = config.get("effort")
    if effort and effort != _DEFAULT_EFFORT:
        params["reasoning_effort"] = effort
    params |= _thinking(data.get("thinking") or {})
    wanted = config.get("format") or data.get("output_format") or {}
    if wanted.get("type") == "json_schema":
        schema = {"name": "answer", "schema": wanted.get("schema") or {}, "strict": True}
        params["response_format"] = {"type": "json_schema", "json_schema": schema}
    return params  # type: ignore[return-value]


def _thinking(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """`adaptive` leaves it to the model, which is what vendors do by themselves."""
    if wanted.get("type") == "disabled":
        return {"thinking": {"type": "disabled"}}
    if wanted.get("type") != "enabled":
        return {}
    budget = wanted.get("budget_tokens")
    if budget is not None and budget < 0:
        raise ValidationError({"thinking": ["budget_tokens must not be negative"]})
    return {"thinking": {"type": "enabled"} | ({"budget_tokens": budget} if budget else {})}
