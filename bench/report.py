"""Results as a table of Markdown, and as the chart in the README.

python -m bench.report bench/results/FILE.json > table.md
python -m bench.report --chart docs/performance.svg bench/results/FILE.json
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

# metric, what it is, whether more is better
ROWS = (
    ("calls_per_s_c64", "calls/s, 64 at once", True),
    ("call_cpu_us_c64", "CPU per call, µs", False),
    ("call_p50_ms_c64", "p50 ms, 64 at once", False),
    ("call_p99_ms_c64", "p99 ms, 64 at once", False),
    ("added_call_p50_ms_c1", "added p50 ms, one at a time", False),
    ("added_call_p50_ms_c16", "added p50 ms, 16 at once", False),
    ("added_call_p99_ms_c16", "added p99 ms, 16 at once", False),
    ("added_first_chunk_ms_c1", "added first chunk ms, one stream", False),
    ("added_first_chunk_ms_c16", "added first chunk ms, 16 streams", False),
    ("burst_chunks_per_s", "chunks/s, 64 streams", True),
    ("burst_cpu_us", "CPU per chunk, µs", False),
    ("transit_p50_ms", "paced chunk in transit, p50 ms", False),
    ("transit_p99_ms", "paced chunk in transit, p99 ms", False),
    ("held1000_complete", "1,000 paced streams: delivered", True),
    ("held1000_wall_s", "1,000 paced streams: wall s (7)", False),
    ("held1000_cpu_us", "1,000 paced streams: CPU per chunk, µs", False),
    ("held4000_complete", "4,000 paced streams: delivered", True),
    ("held4000_wall_s", "4,000 paced streams: wall s (7)", False),
    ("held4000_first_chunk_p99_ms", "4,000 paced streams: first chunk p99 ms", False),
    ("held4000_kb_per_stream", "4,000 paced streams: kB each", False),
    ("body5mb_per_s", "5 MB bodies/s", True),
    ("body5mb_peak_rss_mb", "5 MB bodies: peak RSS MB", False),
    ("idle_rss_mb", "RSS idle, MB", False),
    ("idle_pss_mb", "PSS idle, MB", False),
    ("rss_mb", "RSS after load, MB", False),
    ("cold_start_s", "cold start s", False),
    ("picture_url_per_s", "1 MB pictures/s, kept and linked", True),
    ("picture_b64_json_per_s", "1 MB pictures/s, as base64", True),
    ("alone_p99_ms", "p99 ms of short calls, alone", False),
    ("beside_calls_p99_ms", "p99 ms beside held calls", False),
    ("beside_jobs_p99_ms", "p99 ms beside held video jobs", False),
)
_ADDED = (
    *("call_p50_ms_c1", "call_p50_ms_c16", "call_p99_ms_c16"),
    *("first_chunk_ms_c1", "first_chunk_ms_c16"),
)
_NAMES = {"gateway": "Gateway", "litellm": "LiteLLM", "portkey": "Portkey"}


def completed(results: dict[str, Any]) -> None:
    """Add what each target adds to the mock's own times."""
    bare = results["mock"]["median"]
    for name, found in results.items():
        for metric in _ADDED:
            if name != "mock" and metric in found["median"] and metric in bare:
                found["median"][f"added_{metric}"] = found["median"][metric] - bare[metric]


def ratios(results: dict[str, Any]) -> dict[str, dict[str, float]]:
    """The gateway against each other; more than 1: the gateway is better."""
    ours, found = results["gateway"]["median"], {}
    for name, other in results.items():
        if name in ("gateway", "mock"):
            continue
        pairs = ((m, ours.get(m, 0), other["median"].get(m, 0), more) for m, _, more in ROWS)
        found[name] = {
            metric: round(mine / theirs if more else theirs / mine, 3)
            for metric, mine, theirs, more in pairs
            if mine > 0 and theirs > 0
        }
    return found


def table(results: dict[str, Any]) -> str:
    names = list(results)
    lines = ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for metric, what, _ in ROWS:
        cells = [_shown(results[name]["median"].get(metric)) for name in names]
        if any(cells):
            lines.append(f"| {what} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def growth_table(growth: dict[str, dict[str, float]]) -> str:
    lines = ["| gateway with | calls/s | CPU per call, µs |", "|---|---|---|"]
    for name, found in growth.items():
        lines.append(f"| {name} | {_shown(found['calls_per_s'])} | {_shown(found['cpu_us'])} |")
    return "\n".join(lines)


def _shown(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def chart(results: dict[str, Any]) -> str:
    """CPU per call and per chunk as bars, on a scale of powers of ten."""
    names = [n for n in ("gateway", "portkey", "litellm", "nginx") if n in results]
    parts, y = [], 26
    for metric, title in _PANELS:
        values = {n: results[n]["median"].get(metric, 0) for n in names}
        top = math.ceil(math.log10(max(values.values())))
        parts.append(f'<text x="16" y="{y}" class="title">{title}</text>')
        for name in names:
            y += 26
            width = round(max(2.0, 400 * math.log10(max(values[name], 1.01)) / top))
            kind = "ours" if name == "gateway" else "other"
            label, value = _NAMES.get(name, name), _shown(values[name])
            parts += [
                f'<text x="100" y="{y + 4}" text-anchor="end">{label}</text>',
                f'<rect x="108" y="{y - 9}" width="{width}" height="17" rx="3" class="{kind}"/>',
                f'<text x="{116 + width}" y="{y + 4}">{value}</text>',
            ]
        y += 42
    return _SVG.format(height=y - 8, parts="\n".join(parts), y=y - 20)


_PANELS = (
    ("call_cpu_us_c64", "CPU per chat call, µs"),
    ("burst_cpu_us", "CPU per streamed chunk, µs"),
)
_SVG = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 620 {height}" width="620" role="img">
<title>CPU per call and per chunk, logarithmic scale: less is better</title>
<style>
text {{ font: 13px system-ui, sans-serif; fill: #24292f }}
.title {{ font-weight: 600 }}
.note {{ font-size: 11px; fill: #6e7781 }}
.ours {{ fill: #2f6fde }}
.other {{ fill: #a8b3bf }}
@media (prefers-color-scheme: dark) {{
text {{ fill: #e6edf3 }}
.note {{ fill: #8b949e }}
.ours {{ fill: #58a6ff }}
.other {{ fill: #57606a }}
}}
</style>
{parts}
<text x="16" y="{y}" class="note">less is better; logarithmic scale; on one machine, in turns</text>
</svg>
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.report", description=__doc__)
    parser.add_argument("result", type=Path)
    parser.add_argument("--chart", type=Path)
    options = parser.parse_args()
    found = json.loads(options.result.read_text())
    if options.chart:
        options.chart.write_text(chart(found["targets"]))
    else:
        print(table(found["targets"]))
        if "growth" in found:
            print("\n" + growth_table(found["growth"]))


if __name__ == "__main__":
    main()
