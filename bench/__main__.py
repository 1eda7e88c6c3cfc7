"""Measure the gateway, and what else is found, on this machine.

    make bench ARGS="--quick"                           under two minutes
    make bench ARGS="--peers nginx,litellm,portkey"     PORTKEY=folder of its package
    make bench ARGS="--target other=http://127.0.0.1:9001,key=…,model=x/{m},pid=123"

Everything stays on loopback. What is compared takes turns, so that a machine that becomes
slower becomes slower for all; the medians of the turns are what counts.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench import machine, measures, report, targets
from bench.measures import Bench, Metrics, Scale
from bench.targets import Target

RESULTS = Path(__file__).parent / "results"
_VARIANTS: dict[str, dict[str, int]] = {
    "1 worker": {"workers": 1},
    "2 workers": {"workers": 2},
    "4 workers": {"workers": 4},
    "1 worker, 3,000 accounts": {"workers": 1, "accounts": 3000},
    "1 worker, 2,000 keys": {"workers": 1, "keys": 2000},
}


def main() -> None:
    options = _options()
    scale = Scale(2, (1000,), 50) if options.quick else Scale()
    with tempfile.TemporaryDirectory(prefix="bench-") as name, ExitStack() as stack:
        folder = Path(name)
        program = machine.build("load", folder)
        picture = measures.picture_answer(folder / "picture.json")
        vendor = stack.enter_context(targets.mock(machine.build("mock", folder), picture, folder))
        bench = Bench(program, folder, scale)
        found: dict[str, Any] = {"machine": machine.described(), "quick": options.quick}
        compared = [vendor, stack.enter_context(targets.gateway(vendor, folder))]
        for peer in options.peers:
            compared.append(stack.enter_context(targets.PEERS[peer](vendor, folder)))
        compared += [targets.given(text) for text in options.target]
        results = _compare(bench, compared, options.repeats, quick=options.quick)
        found["targets"] = results
        report.completed(results)
        found["gateway_against"] = report.ratios(results)
        if not options.quick:
            found["growth"] = _growth(bench, vendor, folder)
    _save(found, options.out)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="less of everything")
    parser.add_argument("--peers", help=f"of {', '.join(targets.PEERS)}; those found, if not given")
    parser.add_argument("--target", action="append", default=[], help="a server that runs already")
    parser.add_argument("--repeats", type=int)
    parser.add_argument("--out", type=Path, help="the result file; bench/results/DATE.json")
    options = parser.parse_args()
    usual = [] if options.quick else targets.installed()
    options.peers = usual if options.peers is None else [p for p in options.peers.split(",") if p]
    options.repeats = options.repeats or (1 if options.quick else 3)
    return options


def _compare(
    bench: Bench, compared: list[Target], repeats: int, *, quick: bool
) -> dict[str, dict[str, Any]]:
    runs: dict[str, list[Metrics]] = {target.name: [] for target in compared}
    for target in compared:
        if target.cold_s and target.name != "mock":
            idle = {"cold_start_s": target.cold_s, "idle_rss_mb": machine.rss_mb(target.pid)}
            runs[target.name].append({**idle, "idle_pss_mb": machine.pss_mb(target.pid)})
        bench.load(target, "fast", 8, seconds=1)
    for _ in range(repeats):
        _turns(bench, measures.COMMON, compared, runs)
    watched = [target for target in compared if target.pid and target.name != "mock"]
    _turns(bench, measures.SLOW, watched, runs)
    ours = [target for target in compared if target.name == "gateway"]
    _turns(bench, measures.OWN, ours, runs)
    return {name: {"median": _medians(found), "runs": found} for name, found in runs.items()}


def _turns(
    bench: Bench,
    steps: Iterable[Callable[[Bench, Target], Metrics]],
    compared: Iterable[Target],
    runs: dict[str, list[Metrics]],
) -> None:
    for step in steps:
        for target in compared:
            metrics = {name: round(value, 4) for name, value in step(bench, target).items()}
            runs[target.name].append(metrics)
            shown = " ".join(f"{name}={value:.4g}" for name, value in metrics.items())
            print(f"{target.name:10} {step.__name__:9} {shown}", file=sys.stderr, flush=True)


def _medians(runs: list[Metrics]) -> Metrics:
    names = dict.fromkeys(name for run in runs for name in run)
    return {
        name: round(statistics.median(run[name] for run in runs if name in run), 4)
        for name in names
    }


def _growth(bench: Bench, vendor: Target, folder: Path) -> dict[str, Metrics]:
    """The same call at gateways of several sizes, which run side by side and take turns."""
    found: dict[str, list[Metrics]] = {name: [] for name in _VARIANTS}
    with ExitStack() as stack:
        sizes = {
            name: stack.enter_context(targets.gateway(vendor, folder, name=name, **size))
            for name, size in _VARIANTS.items()
        }
        time.sleep(2)
        for _ in range(3):
            for name, target in sizes.items():
                run = bench.load(target, "fast", 32, seconds=bench.scale.seconds)
                rate, cpu_us = run["answers"] / run["seconds"], run["cpu_s"] / run["answers"] * 1e6
                found[name].append({"calls_per_s": rate, "cpu_us": cpu_us})
                print(f"growth     {name:25} {rate:.0f}/s {cpu_us:.0f} us", file=sys.stderr)
    return {name: _medians(each) for name, each in found.items()}


def _save(found: dict[str, Any], out: Path | None) -> None:
    RESULTS.mkdir(exist_ok=True)
    kind = "-quick" if found["quick"] else ""
    out = out or RESULTS / f"{found['machine']['date']}{kind}.json"
    out.write_text(json.dumps(found, indent=1) + "\n")
    print(report.table(found["targets"]))
    if "growth" in found:
        print("\n" + report.growth_table(found["growth"]))
    print(f"\n{out}", file=sys.stderr)


if __name__ == "__main__":
    main()
