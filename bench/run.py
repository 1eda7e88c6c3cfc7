"""One run: what takes part is started, and takes turns through all steps."""

from __future__ import annotations

import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench import growth, layers, machine, measures, summary, targets
from bench.measures import Bench, Metrics, Scale, Step
from bench.peers import PEERS, Start
from bench.revisions import checked_out, subject
from bench.steps import steps
from bench.summary import Turns
from bench.targets import Target

_ONCE_S = 20  # what takes longer is not repeated


@dataclass(frozen=True)
class Plan:
    scale: Scale
    repeats: int = 3
    peers: tuple[str, ...] = ()
    given: tuple[str, ...] = ()
    before: tuple[str, ...] = ()  # commits of this project
    steps: tuple[str, ...] = ()  # the names of those to take; none: all, and what follows them
    growth: bool = True


def measured(plan: Plan, folder: Path) -> dict[str, Any]:
    with ExitStack() as stack:
        picture = measures.picture_answer(folder / "picture.json", plan.scale.picture)
        vendor = stack.enter_context(targets.mock(machine.build("mock", folder), picture, folder))
        bench = Bench(machine.build("load", folder), folder, plan.scale)
        found: dict[str, Any] = {"machine": machine.described()}
        turns: Turns = {"mock": {}}
        compared = [vendor]
        for start in _starts(plan, stack, folder).items():
            compared.append(_started(start, vendor, folder, stack, turns, plan.repeats))
        compared += [targets.given(text) for text in plan.given]
        time.sleep(plan.scale.seconds / 2)
        for target in compared[1:]:
            turns.setdefault(target.name, {})
            if target.pid:
                rss, pss = machine.rss_mb(target.pid), machine.pss_mb(target.pid)
                summary.note(turns, target.name, {"idle_rss_mb": rss, "idle_pss_mb": pss})
                bench.idle_mb[target.name] = rss
            bench.load(target, "fast", 8, seconds=plan.scale.seconds / 4)
        _turns(bench, compared, plan, turns)
        found["targets"] = summary.summed(turns)
        found["gateway_against"] = summary.ratios(found["targets"])
        found["revisions"] = {revision: subject(revision) for revision in plan.before}
        if not plan.steps:
            found["layers"] = layers.measured(bench, compared[1])
    if plan.growth and not plan.steps:
        with targets.mock(folder / "mock", picture, folder) as vendor:
            found["growth"] = growth.measured(bench, vendor, folder, plan.repeats)
    return found


def _starts(plan: Plan, stack: ExitStack, folder: Path) -> dict[str, Start]:
    found: dict[str, Start] = {"gateway": targets.gateway}
    for revision in plan.before:
        root = stack.enter_context(checked_out(revision, folder))
        name = f"gateway-{revision}"
        found[name] = partial(targets.gateway, name=name, root=root)
    return found | {name: PEERS[name] for name in plan.peers}


def _started(
    start: tuple[str, Start],
    vendor: Target,
    folder: Path,
    stack: ExitStack,
    turns: Turns,
    repeats: int,
) -> Target:
    name, begin = start
    if name.startswith("gateway"):
        with begin(vendor, folder):
            pass  # makes its database, which later starts find
    cold: list[float] = []
    for _ in range(repeats - 1):
        if max(cold, default=0) < _ONCE_S / 2:
            with begin(vendor, folder) as target:
                cold.append(target.cold_s)
    target = stack.enter_context(begin(vendor, folder))
    for seconds in (*cold, target.cold_s):
        summary.note(turns, target.name, {"cold_start_s": seconds})
    return target


def _turns(bench: Bench, compared: list[Target], plan: Plan, turns: Turns) -> None:
    once: set[tuple[str, str]] = set()
    taken = [step for step in steps(plan.scale) if step.name in plan.steps or not plan.steps]
    for turn in range(plan.repeats):
        order = compared[turn % len(compared) :] + compared[: turn % len(compared)]
        for step in taken:
            for target in order:
                if not _concerns(step, target) or (step.name, target.name) in once:
                    continue
                began = time.monotonic()
                metrics = step.run(bench, target)
                summary.note(turns, target.name, metrics)
                _say(turn, target, step, metrics)
                if time.monotonic() - began > _ONCE_S and target.name not in ("gateway", "mock"):
                    once.add((step.name, target.name))


def _concerns(step: Step, target: Target) -> bool:
    if target.name == "mock":
        return step.bare and not step.only
    return step.only in ("", target.name) and bool(target.pid or step.bare)


def _say(turn: int, target: Target, step: Step, metrics: Metrics) -> None:
    shown = " ".join(f"{name}={value:.4g}" for name, value in metrics.items())
    print(f"{turn} {target.name:10} {step.name:9} {shown}", file=sys.stderr, flush=True)
