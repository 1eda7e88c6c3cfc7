"""Answers to render, and what clients cannot do without in the rendering.

`needs.json` lists for each dialect and event the members whose absence broke a client
(Codex, Claude Code, Gemini CLI, the SDKs of OpenAI, Anthropic and Google, the AI SDK) when
it was left out of an otherwise whole answer.
"""

from __future__ import annotations

import json
from pathlib import Path

from gateway.domain.events import (
    Finish,
    ReasoningDelta,
    TextDelta,
    ToolCallDelta,
    Usage,
)

NEEDS = json.loads((Path(__file__).parent / "needs.json").read_text())
THOUGHTS = "I should ask for the weather."
TEXT = "Let me look."


def answer():
    """Reasoning, text, and two calls of tools at once, the first of them signed."""
    return [
        [ReasoningDelta("I should ask "), ReasoningDelta("for the weather.", signature="sig-r")],
        [TextDelta("Let me "), TextDelta("look.")],
        [
            ToolCallDelta(0, '{"city":', id="call_1", name="get_weather", signature="sig-c"),
            ToolCallDelta(0, '"Paris"}'),
            ToolCallDelta(1, '{"city":"Rome"}', id="call_2", name="get_weather"),
        ],
        [Usage(prompt_tokens=30, completion_tokens=20, reasoning_tokens=7, cached_tokens=10)],
        [Finish("tool_calls")],
    ]


def batches(events):
    yield from events


def sign(stored):
    return f"http://gateway/media/{stored.name}"


def vendor():
    return "some-vendor"


def read_frames(data: bytes) -> list[tuple[str | None, dict]]:
    """Name and payload of each event of a stream."""
    found = []
    for frame in data.decode().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in frame.splitlines() if ": " in line)
        if "data" in lines:
            found.append((lines.get("event"), json.loads(lines["data"])))
    return found


def missing(dialect: str, payloads: dict[str, list[dict]]) -> list[str]:
    """The needed members that no payload has; `payloads` by the event's name."""
    return [
        f"{name}: {path}"
        for name, paths in NEEDS[dialect].items()
        for path in ["", *paths]
        if not any(_has(payload, path) for payload in payloads.get(name, ()))
    ]


def _has(value, path: str) -> bool:
    if not path:
        return True
    key, _, rest = path.partition(".")
    if isinstance(value, list):
        return key.isdigit() and any(_has(item, rest) for item in value)
    return isinstance(value, dict) and value.get(key) is not None and _has(value[key], rest)
