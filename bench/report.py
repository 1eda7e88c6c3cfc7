"""Results as tables of Markdown, as the chart in the README, and in the documents.

python -m bench.report bench/results/FILE.json > table.md
python -m bench.report --targets bench/results/FILE.json    the goals, met or not, as JSON
python -m bench.report --publish bench/results/FILE.json    into docs/performance.md, its chart
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from bench import chart, documents, goals, sizing

# metric, what it is
ROWS = (
    ("calls_per_s_c64", "calls/s, 64 at once"),
    ("call_cpu_us_c64", "CPU per call, µs"),
    ("call_p50_ms_c64", "p50 ms, 64 at once"),
    ("call_p99_ms_c64", "p99 ms, 64 at once"),
    ("calls_per_s_c16", "calls/s, 16 at once"),
    ("added_call_p50_ms_c16", "added p50 ms, 16 at once"),
    ("added_call_p99_ms_c16", "added p99 ms, 16 at once"),
    ("added_call_p50_ms_c1", "added p50 ms, one at a time"),
    ("added_first_chunk_ms_c1", "added first chunk ms, one stream"),
    ("added_first_chunk_ms_c16", "added first chunk ms, 16 streams"),
    ("burst_chunks_per_s", "chunks/s, 64 streams at once"),
    ("burst_cpu_us", "CPU per chunk at once, µs"),
    ("transit_p50_ms", "paced chunk in transit, p50 ms"),
    ("transit_p99_ms", "paced chunk in transit, p99 ms"),
    ("paced_cpu_us", "CPU per paced chunk, µs"),
    ("held1000_complete", "1,000 paced streams: delivered"),
    ("held1000_wall_s", "1,000 paced streams: wall s (ideal 7)"),
    ("held1000_cpu_us", "1,000 paced streams: CPU per chunk, µs"),
    ("held4000_complete", "4,000 paced streams: delivered"),
    ("held4000_wall_s", "4,000 paced streams: wall s (ideal 7)"),
    ("held4000_first_chunk_p99_ms", "4,000 paced streams: first chunk p99 ms"),
    ("held4000_cpu_us", "4,000 paced streams: CPU per chunk, µs"),
    ("kb_per_stream", "kB per held stream"),
    ("held4000_peak_rss_mb", "4,000 paced streams: peak RSS MB"),
    ("body5mb_per_s", "5 MB bodies/s"),
    ("body5mb_cpu_ms", "CPU per 5 MB body, ms"),
    ("body5mb_peak_rss_mb", "5 MB bodies: peak RSS MB"),
    ("idle_rss_mb", "RSS idle, MB"),
    ("idle_pss_mb", "PSS idle, MB"),
    ("rss_mb", "RSS after load, MB"),
    ("cold_start_s", "cold start s"),
    ("picture_url_per_s", "1 MB pictures/s, kept and linked"),
    ("picture_url_cpu_ms", "CPU per picture kept and linked, ms"),
    ("picture_b64_json_per_s", "1 MB pictures/s, as base64"),
    ("picture_b64_json_cpu_ms", "CPU per picture as base64, ms"),
    ("beside_calls_p99_ms", "p99 ms of short calls beside held calls"),
    ("beside_calls_p99_ratio", "the same / alone"),
    ("beside_jobs_p99_ms", "p99 ms of short calls beside held video jobs"),
    ("beside_jobs_p99_ratio", "the same / alone"),
    ("errors", "errors"),
)


def whole(found: dict[str, Any]) -> str:
    return "\n\n".join(f"{title}\n\n{text}" for title, text in blocks(found).items() if text)


def table(found: dict[str, Any]) -> str:
    targets = found["targets"]
    names = list(targets)
    lines = ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for metric, what in ROWS:
        values = [targets[name]["median"].get(metric) for name in names]
        if any(value is not None for value in values):
            lines.append(f"| {what} | " + " | ".join(map(shown, values)) + " |")
    return "\n".join(lines)


def growth_table(found: dict[str, Any]) -> str:
    if "growth" not in found:
        return ""
    lines = [
        "| gateway with | calls/s | CPU per call, µs | cold start s | RSS MB | PSS MB |",
        "|---|---|---|---|---|---|",
    ]
    columns = ("calls_per_s", "cpu_us", "cold_start_s", "idle_rss_mb", "idle_pss_mb")
    for name, size in found["growth"]["sizes"].items():
        cells = " | ".join(shown(size[column]) for column in columns)
        lines.append(f"| {name} | {cells} |")
    return "\n".join(lines)


def layers_table(found: dict[str, Any]) -> str:
    if not found.get("layers"):
        return ""
    own = found["targets"]["gateway"]["median"]
    costs = {"call": own["call_cpu_us_c64"], "paced chunk": own["paced_cpu_us"]}
    lines = ["| layer | µs of a call | µs of a paced chunk |", "|---|---|---|"]
    for layer in found["layers"]["call"]:
        cells = (f"{found['layers'][name][layer] * cost:.0f}" for name, cost in costs.items())
        lines.append(f"| {layer} | {' | '.join(cells)} |")
    lines.append("| all | " + " | ".join(f"**{cost:.0f}**" for cost in costs.values()) + " |")
    return "\n".join(lines)


def choices_table(found: dict[str, Any]) -> str:
    lines = ["| ours / the usual | ours | the usual |", "|---|---|---|"]
    for what, cost in found["choices"].items():
        lines.append(f"| {what} | {shown(cost['ours'])} | {shown(cost['usual'])} |")
    return "\n".join(lines)


def history_table(found: dict[str, Any]) -> str:
    """What the gateway cost as each of some commits left it: the least of all turns."""
    lines = ["| commit | µs of a call | µs of a paced chunk |", "|---|---|---|"]
    names = {
        f"gateway-{revision}": f"`{revision}` {what}"
        for revision, what in found["revisions"].items()
    }
    names["gateway"] = f"`{found['machine']['revision']}`"
    for target, name in names.items():
        turns = found["targets"][target]["turns"]
        costs = (turns[metric] for metric in ("call_cpu_us_c64", "paced_cpu_us"))
        lines.append(f"| {name} | {' | '.join(shown(min(cost)) for cost in costs)} |")
    return "\n".join(lines)


def machine_line(found: dict[str, Any]) -> str:
    about = found["machine"]
    packages = about["packages"]
    versions = ", ".join(f"{name} {version}" for name, version in packages.items() if version)
    return (
        f"{about['cores']} cores of {about['cpu']}, {about['memory_gb']} GB, Linux "
        f"{about['kernel']}, Python {about['python']}, {versions}; commit {about['revision']}, "
        f"{about['date']}, {found['took_s'] // 60} minutes, "
        f"load before it {about['load_before']:g}."
    )


def shown(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def blocks(found: dict[str, Any]) -> dict[str, str]:
    """What the documents quote, by the name of its marker."""
    return {
        "machine": machine_line(found),
        "table": table(found),
        "goals": goals.table(found),
        "growth": growth_table(found),
        "layers": layers_table(found),
    } | (sizing.blocks(found) if "layers" in found else {})


def publish(result: Path) -> None:
    """Write what the documents quote, and the chart, anew from a result file."""
    found = json.loads(result.read_text())
    for document in documents.DOCUMENTS:
        text = documents.filled(document.read_text("utf-8"), quoted(found, result.name))
        document.write_text(text, "utf-8")
    documents.CHART.write_text(chart.drawn(found["targets"]), "utf-8")


def quoted(found: dict[str, Any], file: str) -> dict[str, str]:
    return blocks(found) | {
        "source": f"All figures of this page: `bench/results/{file}`.",
        "caption": caption(found),
        "choices": choices_table(json.loads(documents.CHOICES.read_text("utf-8"))),
        "history": "\n\n".join(
            history_table(json.loads(path.read_text("utf-8"))) for path in documents.HISTORY
        ),
    }


def caption(found: dict[str, Any]) -> str:
    own = found["targets"]["gateway"]["median"]
    return (
        f"On {found['machine']['cores']} cores with all features on: "
        f"{shown(own['calls_per_s_c64'])} calls/s of {shown(own['call_cpu_us_c64'])} µs of CPU, "
        f"{shown(own['burst_chunks_per_s'])} streamed chunks/s at {shown(own['burst_cpu_us'])} µs; "
        f"{shown(own['added_call_p50_ms_c1'])} ms are added to a call. "
        "[How it was measured](docs/performance.md)."
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.report", description=__doc__)
    parser.add_argument("result", type=Path)
    parser.add_argument("--targets", action="store_true")
    parser.add_argument("--publish", action="store_true")
    options = parser.parse_args()
    found = json.loads(options.result.read_text())
    if options.targets:
        print(json.dumps(goals.judged(found), indent=1, ensure_ascii=False))
    elif options.publish:
        publish(options.result)
    else:
        print(whole(found))


if __name__ == "__main__":
    main()
