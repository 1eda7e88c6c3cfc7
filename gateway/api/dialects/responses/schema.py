"""POST /v1/responses and /v1/responses/input_tokens, as ChatRequest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from marshmallow import fields

from gateway.api.dialects.responses.items import as_items, offered_tools, turns
from gateway.api.dialects.responses.tools import Tools
from gateway.api.schemas.fields import Flag, Number, Object, RequestSchema, String, WholeNumber
from gateway.domain.errors import InvalidRequest
from gateway.domain.requests import ChatParams, ChatRequest, Message, Text

_COPIED = (
    *("temperature", "top_p", "service_tier", "user", "safety_identifier", "prompt_cache_key"),
)
_ELSEWHERE = {
    "conversation": "previous_response_id, or the whole conversation as input",
    "prompt": "instructions and input",
}


@dataclass(frozen=True, slots=True)
class ResponseRequest:
    """`items` are those of this request alone, without what `previous_id` stands for."""

    model: str
    items: list[dict[str, Any]]
    params: ChatParams
    tools: Tools
    instructions: str | None
    previous_id: str | None
    stream: bool
    store: bool
    echo: Mapping[str, Any]  # of the request, for the response object

    def chat(self, before: list[dict[str, Any]]) -> ChatRequest:
        """The chat that follows the items of the stored conversation. Raises InvalidRequest."""
        messages = turns([*before, *self.items], self.tools, stored=len(before))
        if self.instructions:
            messages.insert(0, Message("system", (Text(self.instructions),)))
        if not messages:
            raise InvalidRequest("input must hold at least one item.", param="input")
        return ChatRequest(
            model=self.model,
            messages=tuple(messages),
            params=self.params,
            stream=self.stream,
            include_usage=True,
            demanded=self.tools.demanded(self.echo.get("tool_choice")),
        )


class ResponsesSchema(RequestSchema):
    model = String(256, required=True)
    input = fields.Raw()
    instructions = String(10_000_000)
    previous_response_id = String(256)
    stream = Flag(load_default=False)
    store = Flag(load_default=True)
    background = Flag()
    tools = fields.Raw()
    tool_choice = fields.Raw()
    parallel_tool_calls = Flag()
    text = Object({"format": dict, "verbosity": str})
    reasoning = Object({"effort": str, "summary": str})
    max_output_tokens = WholeNumber(1)
    temperature = Number(0, 2)
    top_p = Number(0, 1)
    service_tier = String()
    user = String()
    safety_identifier = String()
    prompt_cache_key = String()
    metadata = Object()
    include = fields.Raw()
    truncation = String()
    client_metadata = Object()
    stream_options = Object()
    conversation = fields.Raw()
    prompt = fields.Raw()

    def build(self, data: dict[str, Any]) -> ResponseRequest:
        _check_elsewhere(data)
        items = as_items(data.get("input"))
        tools = Tools.read((data.get("tools"), "tools"), *offered_tools(items))
        return ResponseRequest(
            model=data["model"],
            items=items,
            params=_params(data, tools),
            tools=tools,
            instructions=data.get("instructions"),
            previous_id=data.get("previous_response_id"),
            stream=data.get("stream", False),
            store=data.get("store", True),
            echo=data,
        )

    def unknown_in(self, document: Mapping[str, Any]) -> list[str]:
        """With the tools that run on OpenAI's servers only."""
        return super().unknown_in(document) + Tools.read((document.get("tools"), "tools")).left_out


def _check_elsewhere(data: Mapping[str, Any]) -> None:
    if data.get("background"):
        raise InvalidRequest(
            "background: models of chat answer at once; leave it out.", param="background"
        )
    for name, instead in _ELSEWHERE.items():
        if data.get(name):
            raise InvalidRequest(f"{name} is not kept here; send {instead}.", param=name)


def _params(data: Mapping[str, Any], tools: Tools) -> ChatParams:
    params: dict[str, Any] = {name: data[name] for name in _COPIED if name in data}
    params |= tools.params(data.get("tool_choice"), data.get("parallel_tool_calls"))
    if "max_output_tokens" in data:
        params["max_tokens"] = data["max_output_tokens"]
    if effort := (data.get("reasoning") or {}).get("effort"):
        params["reasoning_effort"] = effort
    text = data.get("text") or {}
    if verbosity := text.get("verbosity"):
        params["verbosity"] = verbosity
    form = text.get("format") or {}
    if form.get("type") == "json_schema":
        known = {k: form[k] for k in ("name", "description", "schema", "strict") if k in form}
        params["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", **known},
        }
    elif form.get("type") == "json_object":
        params["response_format"] = {"type": "json_object"}
    return params  # type: ignore[return-value]
