"""Interactions as events: created, steps with their deltas, completed, `[DONE]`.

https://ai.google.dev/gemini-api/docs/interactions#streaming
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import orjson

from gateway.simulators.calls import Call
from gateway.simulators.gemini.interaction_store import SIGNATURE, Interaction
from gateway.simulators.streams import stream_frames

Event = dict[str, Any]

_LOOK_S = 0.2
_DONE = b"event: done\ndata: [DONE]\n\n"
_GARBAGE = b"event: step.delta\ndata: {]\n\n"


def wait(call: Call, one: Interaction) -> None:
    """Wait until an interaction is done; raises ClientLeft when its client goes first."""
    while one.running:
        call.connection.pause(min(_LOOK_S, max(0.0, one.ready_at - time.monotonic())))


def events(call: Call, one: Interaction, *, after: int = 0) -> Iterator[bytes]:
    """Send the events whose ids are above `after`."""
    # A video may become a file, which takes the request's context: not so inside the stream.
    media = one.media()
    created = _event("interaction.created", interaction=one.brief() | {"status": "in_progress"})
    before = _before(one)
    deltas = _deltas(one, media)
    at = 1 + len(before)
    first = _frames([created], 1, after)
    opening = _frames(before, 2, after)
    pieces = _frames(deltas, at + 1, after)

    def begin() -> Iterator[bytes]:
        yield from first
        wait(call, one)
        yield from opening

    ending = [*_frames(_after(one), at + len(deltas) + 1, after), _DONE]
    return stream_frames(call, pieces, opening=begin(), ending=ending, garbage=_GARBAGE)


def _before(one: Interaction) -> list[Event]:
    """Return the thought and the start of the output; empty for a failure."""
    if one.outcome == "failed":
        return []
    summary = {"type": "thought_summary", "content": {"type": "text", "text": one.thought()}}
    output: Event = {"type": "model_output"}
    if one.pieces:
        output["content"] = [{"type": "text", "text": one.pieces[0]}]
    return [
        _event("step.start", index=0, step={"type": "thought"}),
        _event("step.delta", index=0, delta=summary),
        _event("step.delta", index=0, delta={"type": "thought_signature", "signature": SIGNATURE}),
        _event("step.stop", index=0),
        _event("step.start", index=1, step=output),
    ]


def _deltas(one: Interaction, media: Event | None) -> list[Event]:
    deltas: list[Event] = [{"type": "text", "text": piece} for piece in one.pieces[1:]]
    if media is not None:
        deltas.append(media)
    return [_event("step.delta", index=1, delta=delta) for delta in deltas]


def _after(one: Interaction) -> list[Event]:
    if one.error is not None:
        code, message = one.error
        return [_event("error", error={"code": code, "message": message})]
    last = one.brief() | {"status": one.outcome, "usage": one.usage()}
    return [_event("step.stop", index=1), _event("interaction.completed", interaction=last)]


def _event(kind: str, **fields: object) -> Event:
    return {**fields, "event_type": kind}


def _frames(sequence: Sequence[Event], first_id: int, after: int) -> list[bytes]:
    """Number the events and leave out those that the client has."""
    frames = []
    for event_id, event in enumerate(sequence, first_id):
        if event_id > after:
            data = orjson.dumps(event | {"event_id": str(event_id)})
            frames.append(f"event: {event['event_type']}\n".encode() + b"data: " + data + b"\n\n")
    return frames
