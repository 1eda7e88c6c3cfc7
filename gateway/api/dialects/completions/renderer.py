"""Events as OpenAI's text completion, whole or as a stream.

https://platform.openai.com/docs/api-reference/completions/object
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import closing
from secrets import token_hex
from typing import Any

import orjson

from gateway.api.dialects.base import OPENAI
from gateway.api.dialects.blocks import Sign
from gateway.api.dialects.completions.schema import CompletionRequest
from gateway.api.renderers.chat import markdown, usage_object
from gateway.domain.errors import GatewayError
from gateway.domain.events import Event, Events, Finish, MediaStored, TextDelta, Usage
from gateway.net.codecs.sse import DONE


def completion(batches: Events, wanted: CompletionRequest, sign: Sign) -> dict[str, Any]:
    """Read the answers to their end."""
    writer = CompletionStream(wanted, sign)
    texts: dict[int, list[str]] = {}
    reasons: dict[int, str] = {}
    with closing(batches):
        for batch in batches:
            for event in batch:
                if isinstance(event, Finish):
                    reasons[event.choice] = event.reason
                for number, text in writer.read(event):
                    texts.setdefault(number, []).append(text)
    choices = [
        _choice(number, writer.prefix(number) + "".join(texts.get(number, ())), reasons[number])
        for number in sorted(reasons)
    ]
    return writer.head | {"choices": choices, "usage": usage_object(writer.usage)}


class CompletionStream:
    """Chunks of one stream."""

    def __init__(self, wanted: CompletionRequest, sign: Sign) -> None:
        self._wanted = wanted
        self._sign = sign
        self._begun: set[int] = set()
        self.usage = Usage()
        self.head: dict[str, Any] = {
            "id": f"cmpl-{token_hex(16)}",
            "object": "text_completion",
            "created": int(time.time()),
            "model": wanted.chats[0].model,
        }

    def prefix(self, number: int) -> str:
        """The prompt, where it is to be repeated before its completion."""
        return self._wanted.prompts[number // self._wanted.choices] if self._wanted.echo else ""

    def read(self, event: Event) -> Iterable[tuple[int, str]]:
        """The text of an event, with the number of its choice."""
        match event:
            case TextDelta():
                yield event.choice, event.text
            case MediaStored():
                yield 0, markdown(event.kind, self._sign(event.media))
            case Usage():
                self.usage = event

    def opening(self) -> bytes:
        return b""

    def batch(self, batch: list[Event]) -> bytes:
        frames = b""
        for event in batch:
            for number, text in self.read(event):
                if number not in self._begun:
                    self._begun.add(number)
                    text = self.prefix(number) + text
                frames += self._frame([_choice(number, text, None)])
            if isinstance(event, Finish):
                frames += self._frame([_choice(event.choice, "", event.reason)])
        return frames

    def ending(self) -> bytes:
        if not self._wanted.chats[0].include_usage:
            return DONE
        return self._frame([], usage=usage_object(self.usage)) + DONE

    def failed(self, err: GatewayError) -> bytes:
        return OPENAI.error_frame(err, "")

    def heartbeat(self) -> bytes:
        return OPENAI.heartbeat

    def _frame(self, choices: list[dict[str, Any]], **more: Any) -> bytes:
        return b"data: " + orjson.dumps(self.head | {"choices": choices} | more) + b"\n\n"


def _choice(number: int, text: str, reason: str | None) -> dict[str, Any]:
    return {"text": text, "index": number, "logprobs": None, "finish_reason": reason}
