"""Short calls alone, and the same beside what is held: slow calls, and video jobs.

Each of the two is measured just before and beside, since a p99 of one minute says little
about the next.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bench import machine
from bench.measures import Bench, Metrics
from bench.targets import Target

_SHORT_CALLS = 8  # connections
_PER_S = 400  # held calls are begun
_VIDEO = {"model": "ark/doubao-seedance-1-0-pro-250528", "prompt": "waves"}


def calls(bench: Bench, target: Target) -> Metrics:
    model = target.model.replace("{m}", "slow-20000")
    document = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
    return _compared(bench, target, "calls", target.path, document)


def jobs(bench: Bench, target: Target) -> Metrics:
    try:
        return _compared(bench, target, "jobs", "/v1/video/generations", _VIDEO)
    finally:
        _cancel(target)


def _compared(bench: Bench, target: Target, name: str, path: str, document: Any) -> Metrics:
    alone = bench.load(target, "fast", _SHORT_CALLS)
    with _holding(bench, target, path, document):
        beside = bench.load(target, "fast", _SHORT_CALLS)
    before, then = alone["answer_ms"], beside["answer_ms"]
    return {
        f"alone_{name}_p99_ms": before["p99"],
        f"beside_{name}_p50_ms": then["p50"],
        f"beside_{name}_p99_ms": then["p99"],
        f"beside_{name}_p99_ratio": then["p99"] / before["p99"],
        f"beside_{name}_cpu_ratio": _cpu(beside) / _cpu(alone) if _cpu(alone) else 0,
        "errors_mixed": alone["wrong"] + beside["wrong"],
    }


def _cpu(found: dict[str, Any]) -> float:
    seconds: float = found["cpu_s"] / max(1, found["good"])
    return seconds


@contextmanager
def _holding(bench: Bench, target: Target, path: str, document: Any) -> Iterator[None]:
    """Calls that wait for their answer while the block runs; then they leave."""
    count = bench.scale.jobs * target.workers
    body = bench.folder / "held"
    body.write_text(json.dumps(document))
    command = [bench.program, target.port, path, body, count, count, 60, _PER_S]
    command += target.all_headers
    process = subprocess.Popen([str(part) for part in command], stdout=subprocess.DEVNULL)
    try:
        time.sleep(count / _PER_S + bench.scale.seconds / 2)
        yield
    finally:
        process.kill()
        process.wait()
        machine.settle(target.pid)


def _cancel(target: Target) -> None:
    """Jobs outlive their callers: end them, or they go on beside all that follows."""
    after, more = "", True
    while more:
        _, answer = target.ask("GET", f"/v1/jobs?limit=100{after}")
        page = json.loads(answer)
        for job in page["data"]:
            if job["status"] not in ("completed", "failed", "cancelled"):
                target.ask("DELETE", f"/v1/jobs/{job['id']}")
        more = page["has_more"]
        after = f"&after={page.get('last_id')}"
