"""What the turns of a run come to: medians, what is added to the mock's own times, ratios."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median
from typing import Any

from bench.measures import Metrics

Turns = dict[str, dict[str, list[float]]]  # by target and metric, a value for each turn
_ADDED = (
    *("call_p50_ms_c1", "call_p50_ms_c16", "call_p99_ms_c16"),
    *("first_chunk_ms_c1", "first_chunk_ms_c16"),
)


def note(turns: Turns, target: str, metrics: Metrics) -> None:
    values = turns.setdefault(target, {})
    for name, value in metrics.items():
        values.setdefault(name, []).append(round(value, 4))


def summed(turns: Turns) -> dict[str, Any]:
    """{target: {"median": {metric: number}, "turns": {metric: [number]}}}"""
    bare = turns["mock"]
    for name, found in turns.items():
        for metric in _ADDED:
            if name != "mock" and metric in found and metric in bare:
                pairs = zip(found[metric], bare[metric], strict=False)
                found[f"added_{metric}"] = [round(mine - its, 4) for mine, its in pairs]
    return {name: {"median": _medians(found), "turns": found} for name, found in _in_order(turns)}


def _in_order(turns: Turns) -> list[tuple[str, dict[str, list[float]]]]:
    return sorted(turns.items(), key=lambda item: (item[0] != "mock", item[0] != "gateway"))


def _medians(found: dict[str, list[float]]) -> Metrics:
    medians = {name: round(median(values), 4) for name, values in found.items()}
    errors = [sum(values) for name, values in found.items() if name.startswith("errors_")]
    return medians | {"errors": sum(errors)}


def more_is_better(metric: str) -> bool:
    return ("_per_s" in metric and metric != "kb_per_stream") or metric.endswith("_complete")


def ratio(found: dict[str, Any], metric: str, other: str, own: str = "gateway") -> float | None:
    """The median of what the gateway needs or does to what another does in the same turn."""
    mine, theirs = (found.get(name, {}).get("turns", {}).get(metric, []) for name in (own, other))
    return _ratio(mine, theirs)


def _ratio(mine: Sequence[float], theirs: Sequence[float]) -> float | None:
    if not mine or not theirs:
        return None
    if len(mine) != len(theirs):
        mine, theirs = [median(mine)], [median(theirs)]
    pairs = [(one, two) for one, two in zip(mine, theirs, strict=True) if two > 0]
    return round(median(one / two for one, two in pairs), 3) if pairs else None


def ratios(found: dict[str, Any]) -> dict[str, Metrics]:
    """The gateway against each other; more than 1: the gateway is better."""
    against: dict[str, Metrics] = {}
    for other in found:
        if other in ("gateway", "mock"):
            continue
        against[other] = {}
        for metric in found["gateway"]["turns"]:
            value = ratio(found, metric, other)
            if value and value > 0 and "error" not in metric:
                better = value if more_is_better(metric) else 1 / value
                against[other][metric] = round(better, 3)
    return against
