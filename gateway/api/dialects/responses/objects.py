"""Response objects and their output items.

https://platform.openai.com/docs/api-reference/responses/object
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from secrets import token_hex
from typing import Any

from gateway.api.dialects.blocks import Block, Blocks
from gateway.api.dialects.carrier import pack
from gateway.api.dialects.responses.schema import ResponseRequest
from gateway.api.dialects.responses.tools import Tools, custom_input
from gateway.domain.events import Usage

_PREFIXES = {"text": "msg", "reasoning": "rs", "call": "fc", "custom": "ctc"}
_DEFAULTS: Mapping[str, Any] = {
    "instructions": None,
    "max_output_tokens": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "reasoning": {"effort": None, "summary": None},
    "safety_identifier": None,
    "service_tier": "default",
    "store": True,
    "temperature": 1.0,
    "text": {"format": {"type": "text"}},
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}
INCOMPLETE = {"length": "max_output_tokens", "content_filter": "content_filter"}
_ID_BYTES = 16


@dataclass(frozen=True, slots=True)
class Identity:
    """Ids of a response and its items. An item's id tells which response it is in."""

    token: str
    created_at: int

    @classmethod
    def new(cls, created_at: float) -> Identity:
        return cls(token_hex(_ID_BYTES), int(created_at))

    @property
    def response_id(self) -> str:
        return f"resp_{self.token}"

    def item_id(self, block: Block, tools: Tools) -> str:
        return f"{_PREFIXES[kind_of(block, tools)]}_{self.token}{block.index:04x}"


def response_id_of(item_id: str) -> str | None:
    """The id of the response that an item belongs to."""
    _, _, token = item_id.partition("_")
    return f"resp_{token[: 2 * _ID_BYTES]}" if len(token) == 2 * _ID_BYTES + 4 else None


def kind_of(block: Block, tools: Tools) -> str:
    return "custom" if block.kind == "call" and block.name in tools.custom else block.kind


def item(block: Block, identity: Identity, tools: Tools, status: str) -> dict[str, Any]:
    """An output item with all that is known of it; in progress it has no content yet."""
    done = status != "in_progress"
    head: dict[str, Any] = {"id": identity.item_id(block, tools)}
    match kind_of(block, tools):
        case "text":
            content = [text_part(block.text, block.annotations)] if done else []
            return head | {
                "type": "message",
                "role": "assistant",
                "status": status,
                "content": content,
            }
        case "reasoning":
            summary = [{"type": "summary_text", "text": block.text}] if block.text and done else []
            found = head | {"type": "reasoning", "summary": summary}
            return found | ({"encrypted_content": pack(block.carried)} if block.carried else {})
        case "custom":
            text = custom_input(block.text) if done else ""
            found = head | {"type": "custom_tool_call", "status": status, "input": text}
        case _:
            arguments = (block.text or "{}") if done else ""
            found = head | {"type": "function_call", "status": status, "arguments": arguments}
    namespace, name = tools.namespaces.get(block.name, (None, block.name))
    found |= {"call_id": block.id, "name": name}
    return found | ({"namespace": namespace} if namespace else {})


def text_part(text: str, annotations: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return {
        "type": "output_text",
        "text": text,
        "annotations": [_annotation(note) for note in annotations or ()],
        "logprobs": [],
    }


def _annotation(found: dict[str, Any]) -> dict[str, Any]:
    """Chat's form has the members of a citation in an object of their own."""
    inner = found.get("url_citation")
    return {"type": "url_citation", **inner} if isinstance(inner, dict) else found


def begun(wanted: ResponseRequest, identity: Identity) -> dict[str, Any]:
    """The response object before there is any output."""
    echo = {name: wanted.echo.get(name, default) for name, default in _DEFAULTS.items()}
    return {
        "id": identity.response_id,
        "object": "response",
        "created_at": identity.created_at,
        "status": "in_progress",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "model": wanted.model,
        "output": [],
        **echo,
        "usage": None,
    }


def completed(wanted: ResponseRequest, identity: Identity, blocks: Blocks) -> dict[str, Any]:
    """The response object with all of its output."""
    reason = INCOMPLETE.get(blocks.finish.reason) if blocks.finish else None
    last = len(blocks.blocks) - 1
    output = [
        item(
            block,
            identity,
            wanted.tools,
            "incomplete" if reason and block.index == last else "completed",
        )
        for block in blocks.blocks
    ]
    return begun(wanted, identity) | {
        "status": "incomplete" if reason else "completed",
        "incomplete_details": {"reason": reason} if reason else None,
        "output": output,
        "usage": usage_object(blocks.usage),
    }


def usage_object(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cached_tokens},
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
