"""The dialects that chat, each with its request, and what tells how an answer of it ended."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

CREDENTIAL_HEADER = {"messages": "x-api-key", "gemini": "x-goog-api-key", "gemini json": "key"}


@dataclass(frozen=True)
class Speaker:
    """`events` are the payloads of a stream; heartbeats are none."""

    name: str
    path: Callable[[str, bool], str]  # of a model, streamed or not
    body: Callable[[str, str, bool], dict[str, Any]]  # model, text, streamed or not
    ended: Callable[[list[dict[str, Any]]], bool]  # as a complete answer
    text: Callable[[dict[str, Any]], str]  # of one event
    error: Callable[[dict[str, Any]], str | None]  # its message, in the last event
    ids: Callable[[dict[str, Any]], set[str]]  # that an event gives to its answer
    heartbeat: bytes
    done: bytes = b""  # the last bytes of a complete stream

    def request(
        self, url: str, model: str, key: str, *, text: str = "Hello", stream: bool = True
    ) -> dict[str, Any]:
        """Arguments of `requests.post`; without a key the accounts of the pool are asked."""
        name = CREDENTIAL_HEADER.get(self.name, "Authorization")
        credential = {name: f"Bearer {key}" if name == "Authorization" else key} if key else {}
        return {
            "url": url + self.path(model, stream),
            "json": self.body(model, text, stream),
            "params" if name == "key" else "headers": credential,
            "timeout": 60,
        }

    def complete(self, data: bytes) -> bool:
        try:
            found = list(self.events(data))
        except ValueError:
            return False
        whole = data.rstrip().endswith(self.done.rstrip())
        return whole and bool(found) and self.ended(found)

    def said(self, data: bytes) -> str:
        return "".join(map(self.text, self.events(data)))

    def events(self, data: bytes) -> Iterator[dict[str, Any]]:
        if self.name == "gemini json":
            yield from json.loads(data)
            return
        for line in data.splitlines():
            if line.startswith(b"data: ") and line != b"data: [DONE]":
                yield json.loads(line.removeprefix(b"data: "))


def _chat(model: str, text: str, stream: bool) -> dict[str, Any]:
    return {"model": model, "stream": stream, "messages": [{"role": "user", "content": text}]}


def _chat_ended(events: list[dict[str, Any]]) -> bool:
    return any(c.get("finish_reason") for c in events[-1].get("choices", ()))


def _chat_text(event: dict[str, Any]) -> str:
    return "".join(c["delta"].get("content") or "" for c in event.get("choices", ()))


def _message(event: dict[str, Any]) -> str | None:
    return event["error"]["message"] if "error" in event else None


def _ark_message(event: dict[str, Any]) -> str | None:
    """Ark's messages name the request."""
    message = _message(event)
    return message if message is None or ". Request id: " in message else None


def _own_id(event: dict[str, Any]) -> set[str]:
    return {event["id"]} if "id" in event else set()


def _gemini(stream_suffix: str) -> Callable[[str, bool], str]:
    return lambda model, stream: (
        f"/v1beta/models/{model}:" + (stream_suffix if stream else "generateContent")
    )


def _gemini_body(model: str, text: str, stream: bool) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": [{"text": text}]}]}


def _gemini_ended(events: list[dict[str, Any]]) -> bool:
    return "finishReason" in events[-1].get("candidates", [{}])[0]


def _gemini_text(event: dict[str, Any]) -> str:
    candidates = event.get("candidates", ())
    return "".join(p.get("text", "") for c in candidates for p in c["content"]["parts"])


def _gemini_id(event: dict[str, Any]) -> set[str]:
    return {event["responseId"]} if "responseId" in event else set()


def _response_ids(event: dict[str, Any]) -> set[str]:
    """The ids of the response; each item's starts with its token."""
    found = {event["response"]["id"]} if "response" in event else set()
    for id_ in (event.get("item_id"), event.get("item", {}).get("id")):
        found |= {f"resp_{id_.partition('_')[2][:32]}"} if id_ else set()
    return found


def _response_error(event: dict[str, Any]) -> str | None:
    return event["response"]["error"]["message"] if event["type"] == "response.failed" else None


def _message_error(event: dict[str, Any]) -> str | None:
    return event["error"]["message"] if event["type"] == "error" else None


SPEAKERS = [
    Speaker(
        "chat",
        lambda model, stream: "/v1/chat/completions",
        _chat,
        _chat_ended,
        _chat_text,
        _message,
        _own_id,
        b": waiting\n\n",
        b"data: [DONE]\n\n",
    ),
    Speaker(
        "ark",
        lambda model, stream: "/api/v3/chat/completions",
        _chat,
        _chat_ended,
        _chat_text,
        _ark_message,
        _own_id,
        b": waiting\n\n",
        b"data: [DONE]\n\n",
    ),
    Speaker(
        "completions",
        lambda model, stream: "/v1/completions",
        lambda model, text, stream: {"model": model, "prompt": text, "stream": stream},
        _chat_ended,
        lambda event: "".join(c["text"] for c in event.get("choices", ())),
        _message,
        _own_id,
        b": waiting\n\n",
        b"data: [DONE]\n\n",
    ),
    Speaker(
        "responses",
        lambda model, stream: "/v1/responses",
        lambda model, text, stream: {"model": model, "input": text, "stream": stream},
        lambda events: events[-1]["type"] in ("response.completed", "response.incomplete"),
        lambda event: event["delta"] if event["type"] == "response.output_text.delta" else "",
        _response_error,
        _response_ids,
        b"event: keepalive\n",
    ),
    Speaker(
        "messages",
        lambda model, stream: "/v1/messages",
        lambda model, text, stream: _chat(model, text, stream) | {"max_tokens": 4096},
        lambda events: events[-1]["type"] == "message_stop",
        lambda event: event.get("delta", {}).get("text", ""),
        _message_error,
        lambda event: {event["message"]["id"]} if "message" in event else set(),
        b'event: ping\ndata: {"type":"ping"}\n\n',
    ),
    Speaker(
        "gemini",
        _gemini("streamGenerateContent?alt=sse"),
        _gemini_body,
        _gemini_ended,
        _gemini_text,
        _message,
        _gemini_id,
        b"\n",
    ),
    Speaker(
        "gemini json",
        _gemini("streamGenerateContent"),
        _gemini_body,
        _gemini_ended,
        _gemini_text,
        _message,
        _gemini_id,
        b"\n",
    ),
]
