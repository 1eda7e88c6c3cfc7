"""What the gateway is to reach, in one run beside its peers, and whether it does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bench.summary import ratio


@dataclass(frozen=True)
class Goal:
    """What a metric of the gateway is to be: a number, or one times what a peer has."""

    what: str
    metric: str
    sense: str
    bound: float
    peer: str = ""
    unit: str = ""

    def value(self, found: dict[str, Any]) -> float | None:
        if self.peer:
            return ratio(found["targets"], self.metric, self.peer)
        growth = found.get("growth", {}).get("ratios", {})
        own = found["targets"]["gateway"]["median"]
        value: float | None = growth.get(self.metric, own.get(self.metric))
        return value

    def met(self, value: float) -> bool:
        return value <= self.bound if self.sense == "≤" else value >= self.bound

    def __str__(self) -> str:
        of = f" × {self.peer}" if self.peer else ""
        return f"{self.sense} {self.bound:g}{of}{self.unit and ' ' + self.unit}"


def _goals(what: str, metric: str, *bounds: tuple[str, float, str], unit: str = "") -> list[Goal]:
    return [Goal(what, metric, sense, bound, peer, unit) for sense, bound, peer in bounds]


GOALS = (
    *_goals(
        "calls/s, 64 at once",
        "calls_per_s_c64",
        *((("≥", 1.0, "gw-full"), ("≥", 2.0, "gw-full"))),
        *((("≥", 15.0, "litellm"), ("≥", 30.0, "litellm"))),
        *((("≥", 2.0, "portkey"), ("≥", 4.0, "portkey"))),
    ),
    *_goals("CPU per call", "call_cpu_us_c64", ("≤", 0.7, "gw-full"), ("≤", 0.45, "gw-full")),
    *_goals("CPU per paced chunk", "paced_cpu_us", ("≤", 105.0, ""), ("≤", 60.0, ""), unit="µs"),
    *_goals(
        "added p50, one at a time",
        "added_call_p50_ms_c1",
        *(("≤", 0.8, "gw-full"), ("≤", 0.6, "portkey")),
    ),
    *_goals("added p99, 16 at once", "added_call_p99_ms_c16", ("≤", 1.0, "gw-naive")),
    *_goals("p99 / p50, 64 at once", "call_spread_c64", ("≤", 5.0, "")),
    *_goals(
        "burst chunks/s",
        "burst_chunks_per_s",
        *(("≥", 1.0, "nginx"), ("≥", 2.0, "portkey"), ("≥", 70.0, "litellm")),
    ),
    *_goals("added first chunk, one stream", "added_first_chunk_ms_c1", ("≤", 1.0, "gw-full")),
    *_goals("added first chunk, 16 streams", "added_first_chunk_ms_c16", ("≤", 1.0, "gw-full")),
    *_goals("4,000 paced streams: delivered", "held4000_complete", ("≥", 1.0, "")),
    *_goals(
        "4,000 paced streams: wall", "held4000_wall_s", ("≤", 2.0, "nginx"), ("≤", 1.4, "nginx")
    ),
    *_goals(
        "4,000 paced streams: first chunk p99",
        "held4000_first_chunk_p99_ms",
        ("≤", 5000.0, ""),
        unit="ms",
    ),
    *_goals("idle, two workers, PSS", "idle_pss_mb", ("≤", 130.0, ""), unit="MB"),
    *_goals("idle, two workers, RSS", "idle_rss_mb", ("≤", 130.0, ""), unit="MB"),
    *_goals("memory per held stream", "kb_per_stream", ("≤", 40.0, ""), unit="kB"),
    *_goals("5 MB bodies/s", "body5mb_per_s", ("≥", 0.6, "nginx")),
    *_goals("5 MB bodies: peak RSS", "body5mb_peak_rss_mb", ("≤", 1.0, "gw-full")),
    *_goals("p99 beside held calls / alone", "beside_calls_p99_ratio", ("≤", 1.1, "")),
    *_goals("CPU per call, 10,000 accounts / 10", "accounts_cpu", ("≤", 1.05, "")),
    *_goals("CPU per call, 10,000 keys / 1", "keys_cpu", ("≤", 1.05, "")),
    *_goals("CPU per call, 4 workers / 1", "workers_cpu", ("≤", 1.05, "")),
    *_goals("calls/s, 2 workers on 2 cores / 1 on 1", "two_workers_rate", ("≥", 1.9, "")),
)


def table(found: dict[str, Any]) -> str:
    lines = ["| | goal | measured | |", "|---|---|---|---|"]
    for row in judged(found):
        value = "not measured" if row["measured"] is None else _shown(row["measured"])
        verdict = {True: "met", False: "**not met**", None: ""}[row["met"]]
        lines.append(f"| {row['what']} | {row['goal']} | {value} | {verdict} |")
    return "\n".join(lines)


def _shown(value: float) -> str:
    if value < 1:
        return f"{value:.3f}"
    return f"{value:.2f}" if value < 10 else f"{value:,.0f}"


def judged(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The same for programs."""
    rows = []
    for goal in GOALS:
        value = goal.value(found)
        met = None if value is None else goal.met(value)
        rows.append({"what": goal.what, "goal": str(goal), "measured": value, "met": met})
    return rows
