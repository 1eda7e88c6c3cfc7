"""OpenAI's chat protocol: one exchange, and its answer as events. Spoken by many vendors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.domain.accounts import Account
from gateway.domain.errors import (
    AnswerFailed,
    GatewayError,
    UpstreamDisconnected,
    UpstreamError,
)
from gateway.domain.events import (
    Annotations,
    Event,
    Events,
    Finish,
    FinishReason,
    Logprobs,
    MediaReady,
    ReasoningDelta,
    TextDelta,
    VendorFields,
)
from gateway.domain.timeouts import Timeouts
from gateway.net.codecs import sse
from gateway.net.codecs.json_limits import holds_too_many_values
from gateway.net.codecs.vendor_json import JsonReader
from gateway.net.fetch.fetcher import Fetcher
from gateway.net.http.client import Body, Http
from gateway.upstreams.media_sources import from_url
from gateway.upstreams.openai.envelope import Envelope, checked_text, listed
from gateway.upstreams.openai.logprobs import read_logprobs
from gateway.upstreams.openai.tool_calls import ToolCalls
from gateway.upstreams.openai.usage import find_usage, more_complete, usage_of

# What ends a complete answer, a cut one and a blocked one; anything else is an error.
_REASONS: Mapping[str, FinishReason] = {
    "stop": "stop",
    "stop_sequence": "stop",
    "end_turn": "stop",
    "end": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "complete": "stop",
    "completed": "stop",
    "finished": "stop",
    "finish": "stop",
    "length": "length",
    "max_tokens": "length",
    "max_output_tokens": "length",
    "max_length": "length",
    "model_length": "length",
    "model_context_window_exceeded": "length",
    "continuation": "length",
    "content_filter": "content_filter",
    "content_filtered": "content_filter",
    "sensitive": "content_filter",
    "safety": "content_filter",
    "recitation": "content_filter",
    "refusal": "content_filter",
    "tool_calls": "tool_calls",
    "tool_call": "tool_calls",
    "tool_use": "tool_calls",
    "function_call": "tool_calls",
}
_KNOWN_MEMBERS = frozenset(
    {
        "role",
        "content",
        "name",
        "reasoning_content",
        "reasoning",
        "refusal",
        "tool_calls",
        "function_call",
        "images",
        "audio",
        "annotations",
    }
)
# The members of a chunk and a choice that add nothing to the text.
_PLAIN_CHUNK = frozenset(
    {"id", "object", "created", "model", "system_fingerprint", "service_tier", "choices", "usage"}
)
_PLAIN_CHOICE = frozenset({"index", "delta", "finish_reason", "logprobs"})
_REASONING = {"reasoning": "reasoning_content"}  # two names of one member
_MOST_CHOICES = 128
_LARGEST_WHOLE_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ChatCall:
    """One chat request, ready to be sent."""

    url: str
    headers: Mapping[str, str]
    body: bytes | Body
    stream: bool
    timeouts: Timeouts | None = None


def converse(
    http: Http,
    call: ChatCall,
    envelope: Envelope,
    account: Account,
    fetcher: Fetcher,
    served: Callable[[str], None],
) -> Events:
    """Send a chat request and yield the events of its answer, a batch per piece that arrives.

    Finish comes with the end of the answer, so that an answer which is cut off behind
    its finish_reason, before its usage, is an error and not a short bill. The first bytes
    tell a stream from a whole completion, whatever was asked for and whatever its label says.
    """
    with http.send(
        "POST", call.url, headers=call.headers, body=call.body, timeouts=call.timeouts
    ) as answer:
        streamed = call.stream
        del call  # and with it the body: the answer may take minutes
        if answer.status != 200:
            raise envelope.failure(answer, account)
        reader = ChatReader(envelope, account, fetcher, served)
        content = answer.content()
        if content == "events":
            batches = reader.stream(answer.chunks())
            if streamed:
                yield from batches
            else:
                yield [event for batch in batches for event in batch]
            answer.drain()
        elif content == "json":
            yield reader.whole(answer.json(_LARGEST_WHOLE_BYTES))
        else:
            raise envelope.invalid("is no event stream" if streamed else "is not JSON")


class ChatReader:
    """Turns the chunks of one answer, or a whole completion, into events."""

    __slots__ = (
        "_account",
        "_begun",
        "_calls",
        "_envelope",
        "_fetcher",
        "_finish",
        "_json",
        "_seen",
        "_served",
        "_told",
        "_usage",
    )

    def __init__(
        self,
        envelope: Envelope,
        account: Account,
        fetcher: Fetcher,
        served: Callable[[str], None],
    ) -> None:
        self._envelope = envelope
        self._account = account
        self._fetcher = fetcher
        self._json = JsonReader()
        self._calls: dict[int, ToolCalls] = {}
        self._finish: dict[int, FinishReason] = {}
        self._seen: set[int] = set()
        self._told: dict[int, set[str]] = {}  # members of each choice that came in pieces
        self._begun = False  # the model was told, and the first choice
        self._served = served
        self._usage: Mapping[str, Any] | None = None

    def stream(self, chunks: Iterator[bytes]) -> Events:
        """Events of an SSE body, up to its `[DONE]`."""
        started = False
        for payloads in sse.batches(chunks):
            done = _up_to_done(payloads)
            events: list[Event] = []
            try:
                self._read_all(payloads, events)
            except (GatewayError, ValueError, TypeError, AttributeError) as exc:
                if events:  # what came with the failure, but before it
                    yield events
                if isinstance(exc, GatewayError):
                    raise
                raise self._envelope.invalid("has a chunk that makes no sense") from exc
            if done:
                if not self._seen:
                    raise self._envelope.invalid("is empty")
                yield events + self._closing()
                return
            started = True
            if events:
                yield events
        if not started:
            raise self._envelope.invalid("is empty")
        if not self._seen or self._seen - self._finish.keys():
            raise UpstreamDisconnected(
                f"The answer of {self._envelope.vendor} ended before it was complete", sent=True
            )
        yield self._closing()

    def whole(self, body: Any) -> list[Event]:
        """Events of a completion that came in one piece."""
        if error := self._envelope.reported(body, self._account):
            raise error
        events: list[Event] = []
        try:
            self._read(_once_each(body[0] if isinstance(body, list) else body), events)
        except (TypeError, AttributeError, ValueError) as exc:
            raise self._envelope.invalid("is no chat completion") from exc
        if not self._seen:
            raise self._envelope.invalid("has no choices")
        return events + self._closing()

    def _read_all(self, payloads: list[bytes], events: list[Event]) -> None:
        """Parse together what came together, at half the price of one by one."""
        joined = b"[" + b",".join(payloads) + b"]"
        if holds_too_many_values(joined):
            raise self._envelope.invalid("has too many values")
        try:
            chunks = orjson.loads(joined)
        except ValueError:
            chunks = []
        if len(chunks) == len(payloads):
            for chunk in chunks:
                if self._begun and (text := _plain_text(chunk)):
                    events.append(TextDelta(text))
                else:
                    self._read(chunk, events)
        else:  # one of them is no value of its own, or needs the lenient reader
            for payload in payloads:
                self._read(self._json.read(payload), events)

    def _read(self, chunk: dict[str, Any], events: list[Event]) -> None:
        if (chunk.get("error") or "choices" not in chunk) and (
            error := self._envelope.reported(chunk, self._account)
        ):
            raise error
        choices = listed(chunk.get("choices"))
        if (usage := find_usage(chunk, choices)) is not None:
            self._usage = more_complete(self._usage, usage)
        if not self._begun and isinstance(model := chunk.get("model"), str) and model:
            self._served(model)
        for choice in choices:
            self._choice(choice, events)
        self._begun = "content" in self._told.get(0, ())

    def _choice(self, choice: dict[str, Any], events: list[Event]) -> None:
        index = choice.get("index") or 0
        if type(index) is not int or not 0 <= index < _MOST_CHOICES:
            raise ValueError("no index of a choice")
        if error := choice.get("error"):
            raise self._envelope.reported({"error": error}, self._account) or TypeError()
        self._seen.add(index)
        if delta := choice.get("delta"):
            told = self._told.setdefault(index, set())
            told.update(_REASONING.get(name, name) for name in delta if delta[name])
            self._turn(delta, index, events, whole=False)
        elif message := choice.get("message"):
            told = self._told.get(index, set())  # of which the message is a summary
            rest = {k: v for k, v in message.items() if _REASONING.get(k, k) not in told}
            self._turn(rest, index, events, whole=True)
        if (logprobs := choice.get("logprobs")) and (tokens := logprobs.get("content")):
            events.append(Logprobs(read_logprobs(tokens), index))
        if reason := choice.get("finish_reason"):
            self._finished(reason, index)

    def _turn(self, turn: dict[str, Any], index: int, events: list[Event], *, whole: bool) -> None:
        if reasoning := turn.get("reasoning_content") or turn.get("reasoning"):
            events.append(ReasoningDelta(checked_text(reasoning), index))
        if content := turn.get("content"):
            if type(content) is str:
                events.append(TextDelta(content, index))
            else:
                self._parts(content, index, events)
        if len(turn) > 1 or not content:
            self._rarities(turn, index, events, whole=whole)

    def _rarities(
        self, turn: dict[str, Any], index: int, events: list[Event], *, whole: bool
    ) -> None:
        if refusal := turn.get("refusal"):
            events.append(TextDelta(checked_text(refusal), index))
        if calls := turn.get("tool_calls"):
            made = self._calls.setdefault(index, ToolCalls(index))
            for position, call in enumerate(listed(calls)):
                made.read(call, position if whole else call.get("index"), events)
        elif function := turn.get("function_call"):
            made = self._calls.setdefault(index, ToolCalls(index))
            made.read({"function": function}, 0, events)
        if images := turn.get("images"):
            self._parts(images, index, events)
        if annotations := turn.get("annotations"):
            events.append(Annotations(listed(annotations), index))
        unknown = turn.keys() - _KNOWN_MEMBERS
        if fields := {name: turn[name] for name in unknown if turn[name] is not None}:
            events.append(VendorFields(fields, index))

    def _parts(self, parts: Any, index: int, events: list[Event]) -> None:
        for part in listed(parts):
            if (text := part.get("text")) is not None:
                events.append(TextDelta(checked_text(text), index))
            elif thoughts := part.get("thinking"):
                if not isinstance(thoughts, str):
                    thoughts = "".join(
                        checked_text(piece.get("text", "")) for piece in listed(thoughts)
                    )
                events.append(ReasoningDelta(thoughts, index))
            elif image := part.get("image_url"):
                url = checked_text(image if isinstance(image, str) else image.get("url", ""))
                events.append(MediaReady("image", from_url(self._fetcher, url, "image/png")))
            elif "type" not in part:
                raise ValueError("no part of a message")

    def _finished(self, reason: Any, index: int) -> None:
        name = checked_text(reason)
        if name == "error":
            raise UpstreamError(
                f"The answer of {self._envelope.vendor} ended in an error", sent=True
            )
        if (finish := _REASONS.get(name.lower())) is None:
            raise AnswerFailed(
                f"The answer of {self._envelope.vendor} ended for an unknown reason: {name[:64]!r}",
                sent=True,
            )
        self._finish[index] = finish

    def _closing(self) -> list[Event]:
        events: list[Event] = []
        for calls in self._calls.values():
            events += calls.end()
        if self._usage:
            events.append(usage_of(self._usage))
        for index in sorted(self._seen):
            reason = self._finish.get(index, "stop")
            if reason == "stop" and index in self._calls:
                reason = "tool_calls"
            events.append(Finish(reason, index))
        return events


def _once_each(completion: dict[str, Any]) -> dict[str, Any]:
    """The completion with each choice once; raises ValueError for one without a message."""
    choices: dict[Any, dict[str, Any]] = {}
    for choice in listed(completion.get("choices")):
        if not (choice.get("message") or choice.get("delta") or choice.get("error")):
            raise ValueError("a choice without a message")
        choices.setdefault(choice.get("index") or 0, choice)
    return {**completion, "choices": list(choices.values())}


def _plain_text(chunk: Any) -> str | None:
    """The text of a chunk that holds nothing else, as nearly every chunk does."""
    if type(chunk) is not dict or not chunk.keys() <= _PLAIN_CHUNK or chunk.get("usage"):
        return None
    choices = chunk.get("choices")
    if type(choices) is not list or len(choices) != 1 or type(choice := choices[0]) is not dict:
        return None
    delta = choice.get("delta")
    if type(delta) is not dict or len(delta) != 1 or not choice.keys() <= _PLAIN_CHOICE:
        return None
    if choice.get("index") or choice.get("finish_reason") or choice.get("logprobs"):
        return None
    text = delta.get("content")
    return text if type(text) is str else None


def bearer(account: Account, request_id: str | None = None) -> dict[str, str]:
    """Headers of a JSON request; vendors log the request id."""
    headers = {
        "Authorization": f"Bearer {account.secret.reveal()}",
        "Content-Type": "application/json",
    }
    if request_id is not None:
        headers["X-Client-Request-Id"] = request_id
    return headers


def _up_to_done(payloads: list[bytes]) -> bool:
    """Drop `[DONE]` and what follows it; True where it was there."""
    for position, payload in enumerate(payloads):
        if payload[:6] == b"[DONE]":
            del payloads[position:]
            return True
    return False
