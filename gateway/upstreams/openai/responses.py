"""OpenAI's chat protocol: one exchange, and its answer as events. Spoken by many vendors."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from gateway.domain.accounts import Account
from gateway.domain.errors import (
    GatewayError,
    UpstreamDisconnected,
    UpstreamError,
    UpstreamInvalidResponse,
)
from gateway.domain.events import (
    Event,
    Events,
    Finish,
    FinishReason,
    Logprobs,
    MediaReady,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    Usage,
    tokens_of,
)
from gateway.domain.timeouts import Timeouts
from gateway.net.codecs import sse
from gateway.net.fetch.fetcher import Fetcher
from gateway.net.http.client import Answer, Body, Http
from gateway.upstreams.errors import Refusal, Row, read_error, retry_after_s, to_error
from gateway.upstreams.media_sources import from_url

_FINISH: Mapping[str, FinishReason] = {
    "length": "length",
    "max_tokens": "length",
    "content_filter": "content_filter",
    "sensitive": "content_filter",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
}


@dataclass(frozen=True, slots=True)
class Dialect:
    """What differs between vendors of this protocol."""

    vendor: str  # as callers know it
    errors: Sequence[Row]

    def refusal(self, status: int, headers: Mapping[str, str], body: Mapping[str, Any]) -> Refusal:
        """Read an error, whose body may be OpenAI's envelope or one of its poor relations."""
        error = body.get("error") or body
        if not isinstance(error, dict):
            error = {"message": error}
        code, message, param = error.get("code"), error.get("message"), error.get("param")
        if status == 0 and isinstance(code, int) and 400 <= code < 600:
            status = code
        if not isinstance(code, str) or not code:
            code = error.get("type") or ""
        if not isinstance(message, str):
            message = str(message or body.get("detail") or "")
        return Refusal(
            status,
            str(code),
            message,
            param if isinstance(param, str) and param else None,
            retry_after_s(headers),
            headers.get("x-request-id"),
        )

    def error(self, refusal: Refusal, account: Account) -> GatewayError:
        return to_error(refusal, self.errors, vendor=self.vendor, account=account)

    def failure(self, answer: Answer, account: Account) -> GatewayError:
        """The error of an answer whose status is not 200."""
        return self.error(self.refusal(answer.status, answer.headers, read_error(answer)), account)

    def reported(self, body: Any, account: Account) -> GatewayError | None:
        """The error that an answer with status 200 reports in its body, if it does."""
        if not isinstance(body, dict):
            return self.invalid("is no JSON object")
        if not body.get("error"):
            return None
        error = self.error(self.refusal(0, {}, body), account)
        error.sent = True
        return error

    def invalid(self, how: str) -> UpstreamInvalidResponse:
        return UpstreamInvalidResponse(f"The answer of {self.vendor} {how}", sent=True)


@dataclass(frozen=True, slots=True)
class ChatCall:
    """One chat request, ready to be sent."""

    url: str
    headers: Mapping[str, str]
    body: bytes | Body
    stream: bool
    timeouts: Timeouts | None = None


def converse(
    http: Http, call: ChatCall, dialect: Dialect, account: Account, fetcher: Fetcher
) -> Events:
    """Send a chat request and yield the events of its answer, a batch per piece that arrives.

    Finish comes with the end of the answer, so that an answer which is cut off behind
    its finish_reason, before its usage, is an error and not a short bill.
    """
    with http.send(
        "POST", call.url, headers=call.headers, body=call.body, timeouts=call.timeouts
    ) as answer:
        streamed = call.stream
        del call  # and with it the body: the answer may take minutes
        if answer.status != 200:
            raise dialect.failure(answer, account)
        reader = ChatReader(dialect, account, fetcher)
        kind = answer.headers.get("content-type", "").lower()
        if streamed and kind.startswith("text/event-stream"):
            yield from reader.stream(answer.chunks())
            answer.drain()
        elif streamed and not kind.startswith("application/json"):
            raise dialect.invalid("is no event stream")
        else:
            yield reader.whole(answer.json())


class ChatReader:
    """Turns the chunks of one answer, or a whole completion, into events."""

    __slots__ = ("_account", "_calls", "_dialect", "_fetcher", "_finish", "_seen", "_usage")

    def __init__(self, dialect: Dialect, account: Account, fetcher: Fetcher) -> None:
        self._dialect = dialect
        self._account = account
        self._fetcher = fetcher
        self._calls: dict[int, ToolCalls] = {}
        self._finish: dict[int, FinishReason] = {}
        self._seen: set[int] = set()
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
                raise self._dialect.invalid("has a chunk that makes no sense") from exc
            if done:
                if not self._seen:
                    raise self._dialect.invalid("is empty")
                yield events + self._closing()
                return
            started = True
            if events:
                yield events
        if not started:
            raise self._dialect.invalid("is empty")
        if not self._seen or self._seen - self._finish.keys():
            raise UpstreamDisconnected(
                f"The answer of {self._dialect.vendor} ended before it was complete", sent=True
            )
        yield self._closing()

    def whole(self, body: Any) -> list[Event]:
        """Events of a completion that came in one piece."""
        if error := self._dialect.reported(body, self._account):
            raise error
        if not body.get("choices"):
            raise self._dialect.invalid("has no choices")
        events: list[Event] = []
        try:
            self._read(body, events)
        except (TypeError, AttributeError) as exc:
            raise self._dialect.invalid("is no chat completion") from exc
        return events + self._closing()

    def _read_all(self, payloads: list[bytes], events: list[Event]) -> None:
        """What came together is parsed together, at half the price of one by one."""
        try:
            chunks = orjson.loads(b"[" + b",".join(payloads) + b"]")
        except ValueError:
            chunks = []
        if len(chunks) == len(payloads):
            for chunk in chunks:
                self._read(chunk, events)
        else:  # up to the one that is no value of its own
            for payload in payloads:
                self._read(orjson.loads(payload), events)

    def _read(self, chunk: dict[str, Any], events: list[Event]) -> None:
        if chunk.get("error") and (error := self._dialect.reported(chunk, self._account)):
            raise error
        if (usage := chunk.get("usage")) and isinstance(usage, dict):
            self._usage = usage
        for choice in chunk.get("choices") or ():
            index = choice.get("index") or 0
            self._seen.add(index)
            if delta := choice.get("delta") or choice.get("message"):
                if thought := delta.get("reasoning_content") or delta.get("reasoning"):
                    events.append(ReasoningDelta(thought, index))
                if text := delta.get("content"):
                    if type(text) is str:
                        events.append(TextDelta(text, index))
                    else:
                        self._parts(text, index, events)
                if len(delta) > 1 or not text:
                    self._rarities(delta, index, events, whole="message" in choice)
            if (likely := choice.get("logprobs")) and (tokens := likely.get("content")):
                events.append(Logprobs(tokens, index))
            if reason := choice.get("finish_reason"):
                self._finished(reason, index)

    def _rarities(
        self, delta: dict[str, Any], index: int, events: list[Event], *, whole: bool
    ) -> None:
        if refusal := delta.get("refusal"):
            events.append(TextDelta(refusal, index))
        if calls := delta.get("tool_calls"):
            repair = self._calls.setdefault(index, ToolCalls(index))
            for place, call in enumerate(calls):
                repair.read(call, place if whole else call.get("index"), events)
        if images := delta.get("images"):
            self._parts(images, index, events)

    def _parts(self, parts: list[dict[str, Any]], index: int, events: list[Event]) -> None:
        for part in parts:
            if text := part.get("text"):
                events.append(TextDelta(text, index))
            elif thoughts := part.get("thinking"):
                text = "".join(piece.get("text", "") for piece in thoughts)
                events.append(ReasoningDelta(text, index))
            elif image := part.get("image_url"):
                url = image if isinstance(image, str) else image.get("url", "")
                events.append(MediaReady("image", from_url(self._fetcher, url, "image/png")))

    def _finished(self, reason: str, index: int) -> None:
        if reason == "error":
            raise UpstreamError(
                f"The answer of {self._dialect.vendor} ended in an error", sent=True
            )
        self._finish[index] = _FINISH.get(reason, "stop")

    def _closing(self) -> list[Event]:
        events: list[Event] = [usage_of(self._usage)] if self._usage else []
        for index in sorted(self._seen):
            reason = self._finish.get(index, "stop")
            if reason == "stop" and index in self._calls:
                reason = "tool_calls"
            events.append(Finish(reason, index))
        return events


@dataclass(slots=True)
class _Call:
    id: str
    index: int = -1  # until its name is known
    held: str = ""


class ToolCalls:
    """Repairs the tool calls of one choice.

    Vendors count from 1, send index 0 for every call or none at all, leave ids out,
    and repeat id and name with every piece. Events count from 0 without gaps and have
    id and name in the first piece alone.
    """

    __slots__ = ("_by_id", "_by_place", "_choice", "_count", "_last")

    def __init__(self, choice: int) -> None:
        self._choice = choice
        self._by_place: dict[int, _Call] = {}
        self._by_id: dict[str, _Call] = {}
        self._last: _Call | None = None
        self._count = 0

    def read(self, piece: dict[str, Any], place: int | None, events: list[Event]) -> None:
        function = piece.get("function") or {}
        name = function.get("name")
        arguments = function.get("arguments") or ""
        if not isinstance(arguments, str):
            arguments = orjson.dumps(arguments).decode()
        call = self._find(piece.get("id") or "", place, name)
        if call.index >= 0:
            if arguments:
                events.append(ToolCallDelta(call.index, arguments, choice=self._choice))
        elif name:
            call.index = self._count
            self._count += 1
            arguments = call.held + arguments
            events.append(ToolCallDelta(call.index, arguments, call.id, name, choice=self._choice))
        else:
            call.held += arguments

    def _find(self, given: str, place: int | None, name: str | None) -> _Call:
        if place is not None:
            call = self._by_place.get(place)
            if call and name and given and self._by_id.get(given) is not call:
                call = None
        elif given:
            call = self._by_id.get(given)
        else:
            call = None if name else self._last
        if call is None:
            call = _Call(given or f"call_{secrets.token_hex(12)}")
            if place is not None:
                self._by_place[place] = call
        if given:
            self._by_id[given] = call
        self._last = call
        return call


def entries_of(answer: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The pictures of an image API's answer, without what is no object."""
    data = answer.get("data")
    return [entry for entry in data if isinstance(entry, dict)] if isinstance(data, list) else []


def usage_of(raw: Any) -> Usage:
    """Usage from the chat API's counters, or from the image API's; 0 for what makes no sense."""
    return Usage(
        prompt_tokens=_count(raw, "prompt_tokens") or _count(raw, "input_tokens"),
        completion_tokens=_count(raw, "completion_tokens") or _count(raw, "output_tokens"),
        reasoning_tokens=_count(raw, "completion_tokens_details", "reasoning_tokens"),
        cached_tokens=_count(raw, "prompt_tokens_details", "cached_tokens")
        or _count(raw, "prompt_cache_hit_tokens"),
    )


def _count(raw: Any, *path: str) -> int:
    for name in path:
        raw = raw.get(name) if isinstance(raw, dict) else None
    return tokens_of(raw)


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
    """Drop `[DONE]` and what follows it; whether it was there."""
    for place, payload in enumerate(payloads):
        if payload[:6] == b"[DONE]":
            del payloads[place:]
            return True
    return False
