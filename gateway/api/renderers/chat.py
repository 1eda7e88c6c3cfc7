"""Batches of events to OpenAI's two answers: one object, or a stream of chunks.

https://platform.openai.com/docs/api-reference/chat/object
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, field
from secrets import token_hex
from typing import Any

import orjson

from gateway.api.dialects.base import ErrorFrame
from gateway.domain.errors import GatewayError
from gateway.domain.events import (
    Event,
    Events,
    Finish,
    Logprobs,
    MediaStored,
    Progress,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from gateway.domain.media import StoredMedia
from gateway.net.codecs.sse import DONE, unbroken
from gateway.runtime.interruption import DrainExit

# A `data:` line stays under 64 KiB even when every character needs six bytes of JSON.
_LONGEST_DELTA = 10_000
_MOST_TOKENS = 20  # each with twenty that it might have been
_NOUNS = {"image": "image", "video": "video", "audio": "audio"}

Sign = Callable[[StoredMedia], str]


def new_id() -> str:
    return f"chatcmpl-{token_hex(16)}"


def usage_object(usage: Usage) -> dict[str, Any]:
    found: dict[str, Any] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
    }
    if usage.cached_tokens:
        found["prompt_tokens_details"] = {"cached_tokens": usage.cached_tokens}
    if usage.reasoning_tokens:
        found["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return found


def media_part(kind: str, url: str) -> dict[str, Any]:
    return {"type": f"{kind}_url", f"{kind}_url": {"url": url}}


def logprobs(tokens: list[dict[str, Any]]) -> dict[str, Any]:
    return {"content": tokens, "refusal": None}


def markdown(kind: str, url: str) -> str:
    return f"![image]({url})" if kind == "image" else f"[{_NOUNS[kind]}]({url})"


@dataclass(slots=True)
class _Choice:
    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    media: list[tuple[str, str]] = field(default_factory=list)
    calls: dict[int, dict[str, Any]] = field(default_factory=dict)
    likely: list[dict[str, Any]] = field(default_factory=list)
    finish: str = "stop"

    @property
    def logprobs(self) -> dict[str, Any] | None:
        return logprobs(self.likely) if self.likely else None

    def tool_call(self, event: ToolCallDelta) -> None:
        call = self.calls.get(event.index)
        if call is None:
            function = {"name": event.name or "", "arguments": event.arguments}
            call = self.calls[event.index] = {
                "id": event.id,
                "type": "function",
                "function": function,
            }
        else:
            call["function"]["arguments"] += event.arguments
        if event.signature:
            call["extra_content"] = {"signature": event.signature}

    def message(self, *, as_parts: bool) -> dict[str, Any]:
        text = "".join(self.text)
        content: Any = text
        if self.media and as_parts:
            content = [{"type": "text", "text": text}] if text else []
            content += [media_part(kind, url) for kind, url in self.media]
        elif self.media:
            content = "\n".join([text] * bool(text) + [markdown(*item) for item in self.media])
        elif self.calls and not text:
            content = None
        message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None}
        if self.reasoning:
            message["reasoning_content"] = "".join(self.reasoning)
        for name, kind in (("images", "image"), ("videos", "video")):
            if found := [media_part(kind, url) for k, url in self.media if k == kind]:
                message[name] = found
        if self.calls:
            message["tool_calls"] = [self.calls[index] for index in sorted(self.calls)]
        return message


def completion(batches: Events, model: str, sign: Sign, *, as_parts: bool) -> dict[str, Any]:
    """Read the answer to its end and return `chat.completion`."""
    choices: dict[int, _Choice] = {0: _Choice()}
    usage = Usage()
    with closing(batches):
        for batch in batches:
            for event in batch:
                if isinstance(event, Usage):
                    usage = event
                else:
                    _collect(event, choices, sign)
    return {
        "id": new_id(),
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": [
            {
                "index": index,
                "message": choices[index].message(as_parts=as_parts),
                "logprobs": choices[index].logprobs,
                "finish_reason": choices[index].finish,
            }
            for index in sorted(choices)
        ],
        "usage": usage_object(usage),
        "system_fingerprint": None,
    }


def _collect(event: Event, choices: dict[int, _Choice], sign: Sign) -> None:
    choice = choices.get(getattr(event, "choice", 0))
    if choice is None:
        choice = choices[getattr(event, "choice", 0)] = _Choice()
    match event:
        case TextDelta():
            choice.text.append(event.text)
        case ReasoningDelta():
            choice.reasoning.append(event.text)
        case ToolCallDelta():
            choice.tool_call(event)
        case Logprobs():
            choice.likely += event.tokens
        case MediaStored():
            choice.media.append((event.kind, sign(event.media)))
        case Finish():
            choice.finish = event.reason


class ChunkWriter:
    """Frames of one stream. What is equal in all of them is rendered once."""

    def __init__(self, model: str, sign: Sign, *, include_usage: bool) -> None:
        head = {
            "id": new_id(),
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": model,
            "system_fingerprint": None,
        }
        self._head = b"data: " + orjson.dumps(head)[:-1] + b","
        self._tail = b',"usage":null}\n\n' if include_usage else b"}\n\n"
        self._sign = sign
        self._include_usage = include_usage
        self._plain = self._head + b'"choices":[{"index":0,"delta":{"content":'
        self._after = b'},"logprobs":null,"finish_reason":null}]' + self._tail
        self._usage: Usage | None = None
        self._begun: set[int] = set()

    def opening(self) -> bytes:
        """The role comes in the first delta and never again."""
        self._begun.add(0)
        return self._delta({"role": "assistant", "content": ""})

    def batch(self, batch: list[Event]) -> bytes:
        frames: list[bytes] = []
        plain, after, dumps = self._plain, self._after, orjson.dumps
        for event in batch:
            if type(event) is TextDelta and not event.choice and len(event.text) < _LONGEST_DELTA:
                frames.append(plain + dumps(event.text) + after)
            else:
                frames.append(self._other(event))
        return b"".join(frames)

    def ending(self) -> bytes:
        frames = b""
        if self._include_usage:
            usage = orjson.dumps(usage_object(self._usage or Usage()))
            frames = self._head + b'"choices":[],"usage":' + usage + b"}\n\n"
        return frames + DONE

    def _other(self, event: Event) -> bytes:
        choice = getattr(event, "choice", 0)
        frames = b""
        if choice not in self._begun:
            self._begun.add(choice)
            frames = self._delta({"role": "assistant", "content": ""}, choice)
        match event:
            case TextDelta():
                return frames + self._pieces("content", event.text, choice)
            case ReasoningDelta():
                return frames + self._pieces("reasoning_content", event.text, choice)
            case ToolCallDelta():
                return frames + self._tool_call(event)
            case Logprobs():
                return frames + self._likelihoods(event)
            case MediaStored():
                url = self._sign(event.media)
                delta = {
                    "content": f"{markdown(event.kind, url)}\n",
                    f"{event.kind}s": [media_part(event.kind, url)],
                }
                return frames + self._delta(delta)
            case Finish():
                return frames + self._delta({}, choice, event.reason)
            case Usage():
                self._usage = event
                return b""
            case Progress() if event.percent is not None:
                return f": in_progress {event.percent}%\n\n".encode()
            case _:
                return b": in_progress\n\n"

    def _pieces(self, name: str, text: str, choice: int) -> bytes:
        starts = range(0, len(text), _LONGEST_DELTA)
        return b"".join([self._delta({name: text[i : i + _LONGEST_DELTA]}, choice) for i in starts])

    def _tool_call(self, event: ToolCallDelta) -> bytes:
        call: dict[str, Any] = {"index": event.index}
        if event.id is not None:
            call |= {"id": event.id, "type": "function"}
        function: dict[str, Any] = {} if event.name is None else {"name": event.name}
        if event.signature:
            call["extra_content"] = {"signature": event.signature}
        text, frames = event.arguments, []
        for start in range(0, max(len(text), 1), _LONGEST_DELTA):
            function["arguments"] = text[start : start + _LONGEST_DELTA]
            frames.append(
                self._delta({"tool_calls": [call | {"function": function}]}, event.choice)
            )
            call, function = {"index": event.index}, {}
        return b"".join(frames)

    def _likelihoods(self, event: Logprobs) -> bytes:
        starts = range(0, len(event.tokens), _MOST_TOKENS)
        pieces = [event.tokens[i : i + _MOST_TOKENS] for i in starts]
        return b"".join([self._delta({}, event.choice, likely=logprobs(p)) for p in pieces])

    def _delta(
        self,
        delta: dict[str, Any],
        choice: int = 0,
        reason: str | None = None,
        likely: dict[str, Any] | None = None,
    ) -> bytes:
        body = {"index": choice, "delta": delta, "logprobs": likely, "finish_reason": reason}
        return self._head + b'"choices":[' + orjson.dumps(body) + b"]" + self._tail


def chunks(
    batches: Events, writer: ChunkWriter, error_frame: ErrorFrame
) -> Generator[bytes, None, None]:
    """Yield the frames of one stream, one piece per batch.

    Nothing is yielded before the first batch arrives, so an error until then can still
    be an HTTP status; a later one is the last frame (`error_frame`), without `[DONE]`.
    """
    with closing(batches):
        first = next(batches, None)
        yield writer.opening() + (unbroken(writer.batch(first)) if first else b"")
        try:
            for batch in batches:
                if frames := writer.batch(batch):
                    yield unbroken(frames)
        except (GatewayError, DrainExit) as err:
            yield error_frame(err)
            return
    yield writer.ending()
