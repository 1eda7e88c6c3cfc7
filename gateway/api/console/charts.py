"""Bar charts as geometry for SVG: no script draws them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor, log10

WIDTH, HEIGHT = 640, 160
_GAP = 0.25  # of a bar's width


@dataclass(frozen=True, slots=True)
class Bar:
    at: float  # unix seconds
    value: float
    part: float  # of it, drawn in another colour: errors
    x: float
    width: float
    y: float
    height: float
    part_height: float


@dataclass(frozen=True, slots=True)
class Chart:
    bars: Sequence[Bar]
    top: float
    total: float
    width: int = WIDTH
    height: int = HEIGHT


def chart(
    values: Mapping[int, float], *, since: int, until: int, step: int, parts: Mapping[int, float]
) -> Chart:
    """One bar for each `step` seconds in [since, until); a time without a value is zero."""
    times = range(since, until, step)
    top = _round_up(max((values.get(at, 0.0) for at in times), default=0.0))
    slot = WIDTH / max(1, len(times))
    bars = []
    for position, at in enumerate(times):
        value, part = values.get(at, 0.0), parts.get(at, 0.0)
        height = HEIGHT * value / top
        bars.append(
            Bar(
                at=at,
                value=value,
                part=part,
                x=round(slot * (position + _GAP / 2), 2),
                width=round(slot * (1 - _GAP), 2),
                y=round(HEIGHT - height, 2),
                height=round(height, 2),
                part_height=round(HEIGHT * min(part, value) / top, 2),
            )
        )
    return Chart(bars, top, sum(bar.value for bar in bars))


def _round_up(value: float) -> float:
    """The next of 1, 2, 5, 10, 20, …, so that the axis has a number that people read."""
    if value <= 0:
        return 1.0
    unit = 10.0 ** floor(log10(value))
    return next(unit * step for step in (1, 2, 5, 10) if unit * step >= value)
