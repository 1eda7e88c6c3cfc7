"""What one core carries, and what many streams need, from what was measured."""

from __future__ import annotations

from math import ceil
from typing import Any

_BUSY = 0.7  # of a core; the rest is for what comes at once
_CHUNKS_PER_S = 10  # of a stream, as vendors send them when they are quick
_CORES = 16  # of a machine in the plan


def per_core(found: dict[str, Any]) -> dict[str, float]:
    own = found["targets"]["gateway"]["median"]
    return {
        "calls": _BUSY * 1e6 / own["call_cpu_us_c64"],
        "chunks": _BUSY * 1e6 / own["paced_cpu_us"],
        "bodies": _BUSY * 1e3 / own["body5mb_cpu_ms"],
        "pictures": _BUSY * 1e3 / own["picture_url_cpu_ms"],
        "worker_mb": own["idle_pss_mb"] / 2,
        "stream_kb": own["kb_per_stream"],
    }


def table(found: dict[str, Any]) -> str:
    core = per_core(found)
    streams = core["chunks"] / _CHUNKS_PER_S
    rows = (
        ("short chat calls a second", _two(core["calls"])),
        ("streamed chunks a second", _two(core["chunks"])),
        (f"streams of {_CHUNKS_PER_S} chunks a second each", _two(streams)),
        (f"streams of {3 * _CHUNKS_PER_S} chunks a second each", _two(streams / 3)),
        ("requests with 5 MB of pictures a second", f"{core['bodies']:.0f}"),
        ("generated pictures of 1 MB a second, kept and linked", f"{core['pictures']:.0f}"),
    )
    lines = [f"| one core at {_BUSY:.0%} carries | |", "|---|---|"]
    lines += [f"| {what} | {value} |" for what, value in rows]
    lines += [
        f"| memory: a worker | {core['worker_mb']:.0f} MB |",
        f"| memory: 1,000 held streams | {core['stream_kb'] * 1000 / 1024:.0f} MB |",
    ]
    return "\n".join(lines)


def million(found: dict[str, Any]) -> str:
    """Machines for so many streams at once."""
    core = per_core(found)
    lines = [
        "| streams at once | chunks/s | cores | memory for streams | machines of 16 cores |",
        "|---|---|---|---|---|",
    ]
    for streams in (1_000, 10_000, 100_000, 1_000_000):
        chunks = streams * _CHUNKS_PER_S
        cores = ceil(chunks / core["chunks"])
        memory = streams * core["stream_kb"] / 1024 / 1024
        machines = ceil(cores / _CORES)
        row = f"{streams:,} | {chunks:,} | {cores:,} | {memory:,.1f} GB | {machines:,}"
        lines.append(f"| {row} |")
    return "\n".join(lines)


def _two(value: float) -> str:
    """Two digits are all that a rule of thumb can promise."""
    step = 10 ** max(0, len(str(int(value))) - 2)
    return f"{value // step * step:,.0f}"


def blocks(found: dict[str, Any]) -> dict[str, str]:
    return {"sizing": table(found), "million": million(found)}
