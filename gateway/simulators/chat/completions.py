"""Chat answers in OpenAI's shape, whole and in chunks, as two of the vendors give them."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import orjson

from gateway.simulators.calls import Call
from gateway.simulators.chat.conversation import Conversation
from gateway.simulators.chat.replies import compose, sample_json
from gateway.simulators.fields import Fields
from gateway.simulators.prompt_cache import PromptCaches
from gateway.simulators.state import current_state

DONE = b"data: [DONE]\n\n"
THOUGHT = ("Let", " me", " think", " about", " it.")

_CHOICES = ("none", "auto", "required")


@dataclass(frozen=True, slots=True)
class Limits:
    """Length and number of the answers, as the request limits them."""

    tokens: int | None
    choices: int
    stop: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """One choice. Texts come in pieces as they are streamed; `finish` is the protocol's word."""

    reasoning: tuple[str, ...]
    pieces: tuple[str, ...]
    tool_calls: tuple[Mapping[str, object], ...]
    finish: str

    def message(self) -> dict[str, object]:
        """Return the assistant's message of an answer that is not streamed."""
        content = "".join(self.pieces)
        message: dict[str, object] = {"role": "assistant", "content": content}
        if self.reasoning:
            message["reasoning_content"] = "".join(self.reasoning)
        if self.tool_calls:
            message["tool_calls"] = [dict(call) for call in self.tool_calls]
            message["content"] = content or None
        return message

    def deltas(self) -> Iterator[dict[str, object]]:
        """Yield what each chunk adds: thoughts, then text, then tool calls."""
        for piece in self.reasoning:
            yield {"reasoning_content": piece}
        for piece in self.pieces:
            yield {"content": piece}
        for index, call in enumerate(self.tool_calls):
            function = call["function"]
            assert isinstance(function, dict)
            named = {"name": function["name"], "arguments": ""}
            yield {"tool_calls": [{**call, "index": index, "function": named}]}
            arguments = str(function["arguments"])
            half = len(arguments) // 2
            for part in (arguments[:half], arguments[half:]):
                yield {"tool_calls": [{"index": index, "function": {"arguments": part}}]}


def logprobs(body: Fields, pieces: Sequence[str]) -> dict[str, object] | None:
    """Return the log probabilities of an answer, if asked for; a token is a piece of the text."""
    if not body.flag("logprobs") or not pieces:
        return None
    tokens = [{"token": p, "logprob": -0.25, "bytes": list(p.encode())} for p in pieces]
    most = body.integer("top_logprobs", 0, 20) or 0
    content = [{**token, "top_logprobs": [token][:most]} for token in tokens]
    return {"content": content, "refusal": None}


def give_answer(
    call: Call, body: Fields, talk: Conversation, limits: Limits, thought: tuple[str, ...]
) -> Answer:
    """Return one choice: tool calls, or a text that describes the request."""
    calls = choose_tools(body, talk)
    wanted = json_wanted(body, talk.last)
    if calls:
        return Answer(thought, (), calls, "tool_calls")
    reply = compose(
        turns=talk.turns,
        last=talk.last,
        seen=talk.seen,
        behaviour=call.behaviour,
        max_tokens=limits.tokens,
        stop=limits.stop,
        json_text=wanted,
    )
    finish = "content_filter" if reply.finish == "filtered" else reply.finish
    return Answer(thought, reply.pieces, (), finish)


def cached_tokens(call: Call, model: str, talk: Conversation) -> int:
    """Return the tokens of the prompt that the account's prompt cache has."""
    caches = current_state().store(PromptCaches)
    return caches.cached_tokens(call.credential, model, talk.messages)


def sse(payload: object) -> bytes:
    """Return one event without a name."""
    return b"data: " + orjson.dumps(payload) + b"\n\n"


def choose_tools(body: Fields, talk: Conversation) -> tuple[Mapping[str, object], ...]:
    """Check `tools` and `tool_choice`, and return the calls that the model makes.

    It calls the tools that the last message of the user names, one it is
    forced to call, or the first one when a call is required.
    """
    tools = {name: schema for name, schema in _read_tools(body)}
    forced = _read_choice(body, tools)
    if not tools or forced == "none":
        return ()
    named = [name for name in tools if name in talk.last] if talk.last_role == "user" else []
    if forced == "required":
        named = named or [next(iter(tools))]
    elif forced != "auto":
        named = [forced]
    if body.flag("parallel_tool_calls") is False:
        named = named[:1]
    words = re.findall(r"\w+", talk.last)
    hint = words[-1] if words else "example"
    return tuple(
        {
            "id": f"call_{secrets.token_hex(12)}",
            "type": "function",
            "function": {"name": name, "arguments": sample_json(tools[name], hint)},
        }
        for name in named
    )


def json_wanted(body: Fields, last: str) -> str | None:
    """Check `response_format`, and return the JSON text that answers it, if one does."""
    wanted = body.inner("response_format")
    if wanted is None:
        return None
    kind = wanted.choice("type", ("text", "json_object", "json_schema"))
    if kind == "json_object":
        return orjson.dumps({"said": last}).decode()
    if kind == "json_schema":
        given = wanted.required_inner("json_schema")
        given.required_text("name")
        schema = given.inner("schema")
        return sample_json(schema.data if schema else {"type": "object"}, last)
    return None


def _read_tools(body: Fields) -> Iterator[tuple[str, Mapping[str, object]]]:
    for tool in body.objects("tools"):
        tool.require("type")
        tool.choice("type", ("function",))
        function = tool.required_inner("function")
        parameters = function.inner("parameters")
        yield function.required_text("name"), parameters.data if parameters else {"type": "object"}


def _read_choice(body: Fields, tools: Mapping[str, object]) -> str:
    """Return `none`, `auto`, `required`, or the name of the one tool to call."""
    if isinstance(body.data.get("tool_choice"), dict):
        choice = body.required_inner("tool_choice")
        choice.choice("type", ("function",))
        name = choice.required_inner("function").required_text("name")
        if name not in tools:
            raise body.invalid("tool_choice", f"names no tool: {name}")
        return name
    choice_word = body.choice("tool_choice", _CHOICES)
    if choice_word and not tools and choice_word != "none":
        raise body.invalid("tool_choice", "is only allowed with tools")
    return choice_word or "auto"


def usage(prompt: int, cached: int, answers: Sequence[Answer]) -> dict[str, object]:
    """Count tokens: a token is a piece, or a word of a call's arguments."""
    thought = sum(len(answer.reasoning) for answer in answers)
    said = sum(len(answer.pieces) + 8 * len(answer.tool_calls) for answer in answers)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": thought + said,
        "total_tokens": prompt + thought + said,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": thought},
    }
