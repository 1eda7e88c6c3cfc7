"""Bodies of answers as frames: the documents of a JSON body, an event stream or an array."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from flask import Response


@dataclass(frozen=True, slots=True)
class Frame:
    """One document, or one event without any; `head` stands before it in its event."""

    document: Any = None
    head: bytes = b""
    raw: bytes | None = None


@dataclass(frozen=True, slots=True)
class Frames:
    """A body: `kind` is `json`, `events` or `array`."""

    kind: str
    items: tuple[Frame, ...]
    separator: bytes = b""

    @property
    def documents(self) -> list[Any]:
        """The documents, to change in place."""
        return [frame.document for frame in self.items if frame.raw is None]

    def inserted(self, at: int, *frames: Frame) -> Frames:
        """Return the body with more frames before the frame `at`."""
        return replace(self, items=(*self.items[:at], *frames, *self.items[at:]))


Change = Callable[[Frames, int], Frames]
"""Changes a body; the number is that of the word."""


def changed(response: Response, change: Change, number: int) -> Response:
    """Return the response with its body changed. The whole body is read first."""
    data = b"".join(response.iter_encoded())
    response.close()
    frames = read(data, response.content_type or "")
    if frames is None:
        return _with(response, data)
    return _with(response, write(change(frames, number)))


def read(data: bytes, content_type: str) -> Frames | None:
    """Return the frames of a body; None where it is neither JSON nor a stream of it."""
    if content_type.startswith("text/event-stream"):
        return _read_events(data)
    if not content_type.startswith("application/json"):
        return None
    value = json.loads(data)
    if isinstance(value, list):
        return Frames("array", tuple(Frame(item) for item in value))
    return Frames("json", (Frame(value),))


def write(frames: Frames) -> bytes:
    """Return a body. Numbers that JSON has not, and halves of characters, are written as such."""
    if frames.kind == "events":
        return b"".join(_event(frame) + frames.separator for frame in frames.items)
    parts = [_dump(frame.document) if frame.raw is None else frame.raw for frame in frames.items]
    return b"".join(parts) if frames.kind == "json" else b"[" + b"\n,\r\n".join(parts) + b"\n]"


def events(documents: list[Any]) -> bytes:
    """Return an event stream of documents, with OpenAI's ending."""
    parts = (b"data: " + _dump(document) + b"\n\n" for document in documents)
    return b"".join(parts) + b"data: [DONE]\n\n"


def _read_events(data: bytes) -> Frames:
    separator = b"\r\n\r\n" if b"\r\n\r\n" in data else b"\n\n"
    items = []
    for part in filter(None, data.split(separator)):
        head, mark, document = part.rpartition(b"data: ")
        if mark and document.startswith(b"{"):
            items.append(Frame(json.loads(document), head))
        else:
            items.append(Frame(raw=part))
    return Frames("events", tuple(items), separator)


def _event(frame: Frame) -> bytes:
    if frame.raw is not None:
        return frame.raw
    return frame.head + b"data: " + _dump(frame.document)


def _dump(document: Any) -> bytes:
    return json.dumps(document).encode()


def _with(response: Response, data: bytes) -> Response:
    fresh = Response(data, response.status_code, headers=response.headers)
    fresh.content_length = len(data)
    return fresh
