"""Answers of simulated models: a text that describes the request, and values that fit a schema."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from gateway.simulators.behaviour import Behaviour
from gateway.simulators.media.media_info import MediaInfo, describe_attachments

Finish = Literal["stop", "length", "filtered"]

_QUOTED = 80
_FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "email": "someone@example.com",
    "uri": "https://example.com/",
    "uuid": "3f0c8a52-7d1e-4b6a-9c2f-5e8d7a1b4c60",
}


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, one word a piece, and why it ended there."""

    pieces: tuple[str, ...]
    finish: Finish

    @property
    def text(self) -> str:
        return "".join(self.pieces)


def compose(
    *,
    turns: int,
    last: str,
    seen: Sequence[MediaInfo],
    behaviour: Behaviour,
    max_tokens: int | None = None,
    stop: Sequence[str] = (),
    json_text: str | None = None,
) -> Reply:
    """Write an answer with the number of turns, the last text and the media.

    A token is a word. `json_text` replaces the text where the caller asked for JSON.
    """
    if json_text is not None:
        text = json_text
    elif "words" in behaviour:
        text = " ".join(f"word{at}" for at in range(1, behaviour.number("words") + 1))
    else:
        quoted = last if len(last) <= _QUOTED else last[:_QUOTED] + "…"
        text = f'This is turn {turns} and you said "{quoted}".'
        text = " ".join(part for part in (text, describe_attachments(seen), "That is all.") if part)
    for mark in stop:
        text = text.partition(mark)[0] if mark else text
    pieces = _split(text)
    if "filtered" in behaviour:
        return Reply(pieces[: len(pieces) // 2], "filtered")
    if max_tokens is not None and len(pieces) > max_tokens:
        return Reply(pieces[:max_tokens], "length")
    return Reply(pieces, "stop")


def count_tokens(text: str) -> int:
    """Count the words of a text, and its characters where a language does not part words."""
    return len(text.split()) + sum(1 for character in text if character > "\u2e7f")


def sample(schema: Mapping[str, object], hint: str) -> object:
    """Return a value that fits a JSON schema; `hint` is used for strings without a form."""
    if "const" in schema:
        return schema["const"]
    choices = schema.get("enum")
    if isinstance(choices, list) and choices:
        return choices[0]
    for key in ("anyOf", "oneOf", "allOf"):
        options = schema.get(key)
        if isinstance(options, list) and options and isinstance(options[0], dict):
            return sample(options[0], hint)
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = kind[0] if kind else "null"
    return _sample_of(str(kind).lower(), schema, hint)


def sample_json(schema: Mapping[str, object], hint: str) -> str:
    """Return such a value as JSON text."""
    return json.dumps(sample(schema, hint), ensure_ascii=False)


def _sample_of(kind: str, schema: Mapping[str, object], hint: str) -> object:
    if kind == "object":
        properties = schema.get("properties")
        fields = properties.items() if isinstance(properties, dict) else ()
        return {name: sample(field, hint) for name, field in fields if isinstance(field, dict)}
    if kind == "array":
        items = schema.get("items")
        return [sample(items, hint)] if isinstance(items, dict) else []
    if kind in ("integer", "number"):
        least = schema.get("minimum", 1)
        return least if isinstance(least, int | float) else 1
    if kind == "boolean":
        return True
    if kind == "null":
        return None
    return _FORMATS.get(str(schema.get("format")), hint)


def _split(text: str) -> tuple[str, ...]:
    """Cut a text before each space that follows a word; joined, the pieces are the text."""
    words = text.split(" ")
    return (words[0], *(f" {word}" for word in words[1:])) if text else ()
