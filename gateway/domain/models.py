"""Facts about vendors' models: what they take, ignore and refuse, and until when they live."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from gateway.domain.accounts import Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """One model, or a family of them. An empty field means that nothing is known of it.

    `pattern` is searched in the vendor's id. `ignored` and `refused` name parameters of the
    gateway's API that the vendor overlooks or answers with an error: both are left out.
    `options` are the optional parameters that an image or video model takes.
    """

    upstream: str
    pattern: str
    kind: Kind
    example: str | None = None  # one of the ids
    ignored: frozenset[str] = frozenset()
    refused: frozenset[str] = frozenset()
    reasoning: tuple[str, ...] = ()  # levels, from the lowest
    prefill: bool = True  # a conversation may end with the assistant's turn
    output_tokens: int | None = None
    total_s: float | None = None  # that one answer may take
    sizes: tuple[str, ...] = ()  # tiers, such as 2K
    pixels: tuple[int, ...] = ()  # fewest and most of an image
    ratios: tuple[str, ...] = ()
    aspect: float | None = None  # at most, of the longer side to the shorter
    group: int | None = None  # images of a set, with its references, at most
    layers: int | None = None  # at most
    resolutions: tuple[str, ...] = ()
    durations_s: tuple[int, ...] = ()  # shortest and longest of a video; -1 first: as it likes
    frames: tuple[int, ...] = ()  # numbers of frames that a video may begin and end with
    references: Mapping[str, int] = field(default_factory=dict)  # by type, at most
    options: frozenset[str] = frozenset()
    frames_set_ratio: bool = False  # with a frame, the ratio of a video is the frame's
    shutdown: date | None = None
    successor: str | None = None
    source: str
    checked: date

    def capabilities(self) -> dict[str, Any]:
        """What is known of the model, as JSON; nothing of what is not."""
        found: dict[str, Any] = {
            "sizes": list(self.sizes),
            "pixels": list(self.pixels),
            "ratios": list(self.ratios),
            "resolutions": list(self.resolutions),
            "durations": list(self.durations_s),
            "frames": list(self.frames),
            "references": dict(self.references),
            "parameters": {
                "taken": sorted(self.options),
                "ignored": sorted(self.ignored),
                "refused": sorted(self.refused),
            },
            "reasoning": list(self.reasoning),
            "output_tokens": self.output_tokens,
        }
        found["parameters"] = {name: names for name, names in found["parameters"].items() if names}
        known = {name: value for name, value in found.items() if value}
        return known | {"source": self.source, "checked": self.checked.isoformat()}

    @property
    def shutdown_at(self) -> float | None:
        """Unix seconds of the day, in UTC, from which the vendor does not serve the model."""
        if self.shutdown is None:
            return None
        return datetime.combine(self.shutdown, datetime.min.time(), UTC).timestamp()


class ModelTable:
    """Rows of facts; the first whose pattern is found in a model's id counts."""

    def __init__(self, rows: Iterable[ModelFacts] = ()) -> None:
        self._rows = [(re.compile(row.pattern), row) for row in rows]
        self._found: dict[tuple[str, str], ModelFacts | None] = {}

    def __iter__(self) -> Iterator[ModelFacts]:
        return (row for _, row in self._rows)

    def find(self, upstream: str, model: str) -> ModelFacts | None:
        """The facts of a vendor's model, or None where there is no row."""
        key = (upstream, model)
        if key not in self._found:
            if len(self._found) > 1000:  # callers choose the names
                self._found.clear()
            rows = (row for pattern, row in self._rows if pattern.search(model))
            self._found[key] = next((row for row in rows if row.upstream == upstream), None)
        return self._found[key]
