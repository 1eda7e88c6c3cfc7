"""How the cost of a call grows with accounts, keys, workers and machines.

Gateways of several sizes run side by side and take turns with the same load.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Any

from bench import machine, targets
from bench.measures import Bench, Metrics
from bench.targets import Target

_FEW = 10  # accounts, where their number is not what varies
_CONNECTIONS = 64


def measured(bench: Bench, vendor: Target, folder: Path, repeats: int) -> dict[str, Any]:
    """{"sizes": {name: medians}, "ratios": {what: how much of it the larger one costs}}"""
    runs: dict[str, list[Metrics]] = {}
    with ExitStack() as stack:
        gateways = {}
        for name, settings in _variants(bench.scale.sizes, stack, folder).items():
            target = stack.enter_context(
                targets.gateway(vendor, folder, name=name, **{"accounts": _FEW, **settings})
            )
            gateways[name] = target
        time.sleep(bench.scale.seconds / 2)
        idle = {name: _idle(target) for name, target in gateways.items()}
        for name, target in gateways.items():
            idle[name]["first_cpu_us"] = _first(bench, target, name)
        for turn in range(repeats):
            for name, target in list(gateways.items())[:: -1 if turn % 2 else 1]:
                cores = _cores(name)
                with machine.pinned(cores, [target.pid, vendor.pid]):
                    found = _cost(bench, target)
                runs.setdefault(name, []).append(found)
                shown = " ".join(f"{key}={value:.4g}" for key, value in found.items())
                print(f"growth     {name:17} {shown}", file=sys.stderr, flush=True)
    return {
        "sizes": {name: idle[name] | _medians(runs[name]) for name in gateways},
        "ratios": _ratios(runs, bench.scale.sizes),
    }


def _variants(sizes: int, stack: ExitStack, folder: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {
        "1 worker": {"workers": 1},
        "2 workers": {"workers": 2},
        "4 workers": {"workers": 4},
        f"{sizes:,} accounts": {"workers": 1, "accounts": sizes},
        f"{sizes:,} keys": {"workers": 1, "keys": sizes},
    }
    if shutil.which("redis-server"):
        url = stack.enter_context(_redis(folder))
        found["Redis"] = {"workers": 1, "settings": {"REDIS_URL": url}}
    return found


@contextmanager
def _redis(folder: Path) -> Iterator[str]:
    port = machine.free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    with machine.running([*command, "--dir", folder], log=folder / "redis.log"):
        yield f"redis://127.0.0.1:{port}/0"


def _cores(name: str) -> list[int]:
    """One worker has one core, which it shares with the load, as two workers share two.

    Otherwise the load would run on a core of its own beside one worker but not beside two.
    """
    cores = sorted(os.sched_getaffinity(0))
    return cores if name in ("2 workers", "4 workers") else cores[:1]


def _idle(target: Target) -> Metrics:
    return {
        "cold_start_s": target.cold_s,
        "idle_rss_mb": machine.rss_mb(target.pid),
        "idle_pss_mb": machine.pss_mb(target.pid),
    }


def _first(bench: Bench, target: Target, name: str) -> float:
    """What a call costs while each goes to an account that no vendor has accepted yet.

    Afterwards all accounts have been used, however many there are.
    """
    accounts = bench.scale.sizes if name.endswith("accounts") else _FEW
    found = bench.load(target, "fast", 16, requests=round(accounts * 1.2) + 100, seconds=120)
    cpu_us: float = found["cpu_s"] / max(1, found["good"]) * 1e6
    return cpu_us


def _cost(bench: Bench, target: Target) -> Metrics:
    found = bench.load(target, "fast", _CONNECTIONS)
    return {
        "calls_per_s": found["good"] / found["seconds"],
        "cpu_us": found["cpu_s"] / max(1, found["good"]) * 1e6,
        "errors": found["wrong"],
    }


def _medians(runs: list[Metrics]) -> Metrics:
    return {name: median(run[name] for run in runs) for name in runs[0]}


def _ratios(runs: dict[str, list[Metrics]], sizes: int) -> Metrics:
    def ratio(name: str, other: str, metric: str) -> float:
        pairs = zip(runs[name], runs[other], strict=True)
        return median(mine[metric] / theirs[metric] for mine, theirs in pairs)

    found = {
        "accounts_cpu": ratio(f"{sizes:,} accounts", "1 worker", "cpu_us"),
        "keys_cpu": ratio(f"{sizes:,} keys", "1 worker", "cpu_us"),
        "workers_cpu": ratio("4 workers", "1 worker", "cpu_us"),
        "two_workers_rate": ratio("2 workers", "1 worker", "calls_per_s"),
    }
    if "Redis" in runs:
        found["redis_cpu"] = ratio("Redis", "1 worker", "cpu_us")
    return found
