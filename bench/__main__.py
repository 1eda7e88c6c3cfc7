"""Measure the gateway, and what else is found, on this machine.

    make bench ARGS="--quick"                    the gateway alone, under two minutes
    make bench                                   beside all peers that are installed, 25 minutes
    make bench ARGS="--peers nginx,litellm"      beside these; bench/install-peers.sh installs them
    make bench ARGS="--before REVISION"          beside the gateway as it was
    make bench ARGS="--target other=http://127.0.0.1:9001,key=…,model=x/{m},pid=123"

Everything stays on loopback. What is compared takes turns, so that a machine that becomes
slower becomes slower for all; the medians of the turns are what counts.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import peers, report, run
from bench.measures import Scale
from bench.steps import steps

RESULTS = Path(__file__).parent / "results"
QUICK = Scale(seconds=2, held=(1000,), jobs=50, sizes=1000)


def main() -> None:
    options = _options()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        plan = run.Plan(
            scale=QUICK if options.quick else Scale(),
            repeats=options.repeats or (1 if options.quick else 3),
            peers=tuple(options.peers),
            given=tuple(options.target),
            before=tuple(options.before),
            steps=tuple(options.steps.split(",") if options.steps else ()),
            growth=not options.quick,
        )
        found = run.measured(plan, Path(name))
    found |= {"quick": options.quick, "took_s": round(time.monotonic() - began)}
    _save(found, options.out)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="less of everything")
    parser.add_argument("--peers", help=f"of {', '.join(peers.PEERS)}; those found, if not given")
    parser.add_argument("--before", action="append", default=[], help="a commit of this project")
    parser.add_argument("--target", action="append", default=[], help="a server that runs already")
    parser.add_argument(
        "--steps", help="only these of " + ", ".join(s.name for s in steps(Scale()))
    )
    parser.add_argument("--repeats", type=int)
    parser.add_argument("--out", type=Path, help="the result file; bench/results/DATE.json")
    options = parser.parse_args()
    usual = "" if options.quick else "all"
    options.peers = peers.chosen(usual if options.peers is None else options.peers)
    return options


def _save(found: dict[str, Any], out: Path | None) -> None:
    RESULTS.mkdir(exist_ok=True)
    kind = "-quick" if found["quick"] else ""
    out = out or RESULTS / f"{found['machine']['date']}{kind}.json"
    out.write_text(json.dumps(found, indent=1) + "\n")
    print(report.whole(found))
    print(f"\n{out}, after {found['took_s']} s", file=sys.stderr)


if __name__ == "__main__":
    main()
