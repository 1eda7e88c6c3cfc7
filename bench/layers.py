"""Where a call's CPU goes, by py-spy: samples of the gateway under load, told apart by layer.

A sample belongs to the innermost frame that is in the table, so that what the standard
library does counts for whoever asked for it.
"""

from __future__ import annotations

import re
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from bench import peers
from bench.measures import Bench
from bench.targets import Target

# What the paths of a layer's files have in them; the first that fits counts.
LAYERS = (
    ("server: connections, requests, responses", ("gateway/server/", "/gunicorn/")),
    ("web framework", ("/flask/", "/werkzeug/")),
    ("schemas", ("/marshmallow/", "gateway/api/schemas/")),
    ("limits", ("/limits/", "access/limits", "hooks/rate_limits", "storage/rate_counters")),
    ("keys", ("hooks/auth", "access/keys")),
    ("responses to callers", ("gateway/api/renderers/",)),
    ("api: the rest", ("gateway/api/",)),
    ("logs and metrics", ("runtime/logs", "prometheus", "services/observability")),
    ("pool and dispatch", ("services/pool", "services/routing")),
    ("usage and records", ("gateway/storage/",)),
    ("services: the rest", ("gateway/services/",)),
    ("vendor's format", ("gateway/upstreams/",)),
    ("vendor's connection", ("gateway/net/", "/requests/", "/urllib3/")),
    ("values", ("gateway/domain/",)),
)
_FRAME = re.compile(r"\((.*?)(?::\d+)?\)$")
_OTHER = "event loop"  # what nobody in the table has asked for


def measured(bench: Bench, target: Target) -> dict[str, dict[str, float]] | None:
    """{load: {layer: its part of the CPU, 0 to 1}}; None without py-spy."""
    program = peers.program("py-spy")
    if not program or bench.scale.seconds < 2:
        return None
    loads = {"call": ("fast", 64), "paced chunk": ("stream-50x20", 128)}
    return {name: _shares(program, bench, target, *load) for name, load in loads.items()}


def _shares(
    program: str, bench: Bench, target: Target, model: str, connections: int
) -> dict[str, float]:
    seconds = round(2 * bench.scale.seconds)
    raw = bench.folder / "samples"
    command = [program, "record", "--pid", target.pid, "--subprocesses", "--full-filenames"]
    command += ["--format", "raw", "--rate", 200, "--duration", seconds - 1, "--output", raw]
    with ThreadPoolExecutor(1) as pool:
        load: Any = pool.submit(bench.load, target, model, connections, seconds=seconds)
        subprocess.run([str(part) for part in command], check=True, capture_output=True)
        load.result()
    return told_apart(raw)


def told_apart(raw: Path) -> dict[str, float]:
    found: Counter[str] = Counter()
    for line in raw.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        found[_layer(stack.split(";"))] += int(count)
    names = [name for name, _ in LAYERS]
    return {name: round(found[name] / found.total(), 4) for name in (*names, _OTHER)}


def _layer(stack: list[str]) -> str:
    for frame in reversed(stack):
        match = _FRAME.search(frame)
        path = match[1] if match else frame
        for name, signs in LAYERS:
            if any(sign in path for sign in signs):
                return name
    return _OTHER
