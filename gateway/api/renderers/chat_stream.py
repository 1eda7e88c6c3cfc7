"""Events as OpenAI's `chat.completion.chunk` events.

https://platform.openai.com/docs/api-reference/chat-streaming
"""

from __future__ import annotations

import time
from typing import Any

import orjson

from gateway.api.dialects.base import OPENAI, Dialect
from gateway.api.renderers.chat import (
    STANDARD_MEMBERS,
    Sign,
    extra_content,
    logprobs_object,
    markdown,
    media_part,
    new_id,
    reasoning_details,
    usage_object,
)
from gateway.domain.errors import GatewayError
from gateway.domain.events import (
    Annotations,
    Event,
    Finish,
    Logprobs,
    MediaStored,
    Progress,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    Usage,
    VendorFields,
)
from gateway.net.codecs.sse import DONE

# A `data:` line stays under 64 KiB even when every character needs six bytes of JSON.
_LONGEST_DELTA = 10_000
_MOST_TOKENS = 20  # each with twenty alternatives


class ChunkWriter:
    """Frames of one stream. The members that all of them share are rendered once."""

    def __init__(
        self,
        model: str,
        sign: Sign,
        *,
        include_usage: bool,
        dialect: Dialect = OPENAI,
        request_id: str = "",
    ) -> None:
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
        self._dialect, self._request_id = dialect, request_id
        self._include_usage = include_usage
        self._plain = self._head + b'"choices":[{"index":0,"delta":{"content":'
        self._after = b'},"logprobs":null,"finish_reason":null}]' + self._tail
        self._usage: Usage | None = None
        self._begun: set[int] = set()
        self._without_arguments: set[tuple[int, int]] = set()  # choice and index of calls

    def opening(self) -> bytes:
        """The role comes in the first delta and never again."""
        self._begun.add(0)
        return self._delta({"role": "assistant", "content": ""})

    def batch(self, batch: list[Event]) -> bytes:
        frames: list[bytes] = []
        plain, after, dumps = self._plain, self._after, orjson.dumps
        for event in batch:
            if (
                type(event) is TextDelta
                and not event.choice
                and event.signature is None
                and len(event.text) < _LONGEST_DELTA
            ):
                frames.append(plain + dumps(event.text) + after)
            else:
                frames.append(self._frames(event))
        return b"".join(frames)

    def ending(self) -> bytes:
        frames = b""
        if self._include_usage:
            usage = orjson.dumps(usage_object(self._usage or Usage()))
            frames = self._head + b'"choices":[],"usage":' + usage + b"}\n\n"
        return frames + DONE

    def failed(self, err: GatewayError) -> bytes:
        return self._dialect.error_frame(err, self._request_id)

    def heartbeat(self) -> bytes:
        return self._dialect.heartbeat

    def _frames(self, event: Event) -> bytes:
        """The frames of an event, after the role where its choice has not begun."""
        match event:
            case Usage():
                self._usage = event
                return b""
            case Progress() if event.percent is not None:
                return f": in_progress {event.percent}%\n\n".encode()
            case Progress():
                return b": in_progress\n\n"
        choice = getattr(event, "choice", 0)
        frames = b""
        if choice not in self._begun:
            self._begun.add(choice)
            frames = self._delta({"role": "assistant", "content": ""}, choice)
        return frames + self._choice_frames(event, choice)

    def _choice_frames(self, event: Event, choice: int) -> bytes:
        match event:
            case TextDelta():
                return self._text(event)
            case ReasoningDelta():
                return self._reasoning(event)
            case ToolCallDelta():
                return self._tool_call(event)
            case Logprobs():
                return self._logprobs(event)
            case MediaStored():
                return self._media(event)
            case Annotations():
                return self._delta({"annotations": event.items}, choice)
            case VendorFields():
                delta = {k: v for k, v in event.fields.items() if k not in STANDARD_MEMBERS}
                return self._delta(delta, choice)
            case Finish():
                return self._empty_arguments(choice) + self._delta({}, choice, event.reason)
        return b""

    def _empty_arguments(self, choice: int) -> bytes:
        """Calls without arguments have an empty object for them, which JSON parsers take."""
        calls = sorted(index for owner, index in self._without_arguments if owner == choice)
        function = {"arguments": "{}"}
        deltas = [{"tool_calls": [{"index": index, "function": function}]} for index in calls]
        return b"".join([self._delta(delta, choice) for delta in deltas])

    def _media(self, event: MediaStored) -> bytes:
        url = self._sign(event.media)
        return self._delta(
            {
                "content": f"{markdown(event.kind, url)}\n",
                f"{event.kind}s": [media_part(event.kind, url)],
            }
        )

    def _text(self, event: TextDelta) -> bytes:
        frames = self._pieces("content", event.text, event.choice)
        if event.signature:
            delta = {"content": "", "extra_content": extra_content(event.signature)}
            frames += self._delta(delta, event.choice)
        return frames

    def _reasoning(self, event: ReasoningDelta) -> bytes:
        frames = self._pieces("reasoning_content", event.text, event.choice)
        if event.signature:
            delta = {"reasoning_details": reasoning_details("", event.signature)}
            frames += self._delta(delta, event.choice)
        return frames

    def _pieces(self, name: str, text: str, choice: int) -> bytes:
        starts = range(0, len(text), _LONGEST_DELTA)
        return b"".join([self._delta({name: text[i : i + _LONGEST_DELTA]}, choice) for i in starts])

    def _tool_call(self, event: ToolCallDelta) -> bytes:
        call: dict[str, Any] = {"index": event.index}
        place = (event.choice, event.index)
        if event.arguments:
            self._without_arguments.discard(place)
        elif event.name is not None:
            self._without_arguments.add(place)
        if event.id is not None:
            call |= {"id": event.id, "type": "function"}
        function: dict[str, Any] = {} if event.name is None else {"name": event.name}
        if event.signature:
            call["extra_content"] = extra_content(event.signature)
        text, frames = event.arguments, []
        for start in range(0, max(len(text), 1), _LONGEST_DELTA):
            function["arguments"] = text[start : start + _LONGEST_DELTA]
            frames.append(
                self._delta({"tool_calls": [call | {"function": function}]}, event.choice)
            )
            call, function = {"index": event.index}, {}
        return b"".join(frames)

    def _logprobs(self, event: Logprobs) -> bytes:
        starts = range(0, len(event.tokens), _MOST_TOKENS)
        pieces = [event.tokens[i : i + _MOST_TOKENS] for i in starts]
        return b"".join(
            [self._delta({}, event.choice, logprobs=logprobs_object(p)) for p in pieces]
        )

    def _delta(
        self,
        delta: dict[str, Any],
        choice: int = 0,
        reason: str | None = None,
        logprobs: dict[str, Any] | None = None,
    ) -> bytes:
        body = {"index": choice, "delta": delta, "logprobs": logprobs, "finish_reason": reason}
        return self._head + b'"choices":[' + orjson.dumps(body) + b"]" + self._tail
