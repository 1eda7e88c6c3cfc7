"""CPU per call and per streamed chunk as bars, for light and dark pages."""

from __future__ import annotations

from typing import Any

_NAMES = {"gateway": "Gateway", "litellm": "LiteLLM", "portkey": "Portkey", "nginx": "nginx"}
_PANELS = (
    ("call_cpu_us_c64", "CPU per chat call, µs"),
    ("burst_cpu_us", "CPU per streamed chunk, µs"),
)
_WIDTH = 430  # of the longest bar
_SVG = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 620 {height}" width="620" role="img">
<title>CPU per call and per streamed chunk: less is better</title>
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
<text x="16" y="{y}" class="note">Less is better. One machine, in turns. {note}</text>
</svg>
"""


def drawn(targets: dict[str, Any]) -> str:
    names = [name for name in _NAMES if name in targets]
    parts, y = [], 26
    for metric, title in _PANELS:
        values = {name: targets[name]["median"][metric] for name in names}
        parts.append(f'<text x="16" y="{y}" class="title">{title}</text>')
        for name in sorted(names, key=values.__getitem__):
            y += 26
            width = round(max(1.5, _WIDTH * values[name] / max(values.values())), 1)
            kind = "ours" if name == "gateway" else "other"
            value = f"{values[name]:,.0f}"
            parts += [
                f'<text x="100" y="{y + 4}" text-anchor="end">{_NAMES[name]}</text>',
                f'<rect x="108" y="{y - 9}" width="{width}" height="17" rx="3" class="{kind}"/>',
                f'<text x="{116 + width}" y="{y + 4}">{value}</text>',
            ]
        y += 42
    note = (
        "nginx passes bytes on and knows no accounts, keys or formats." if "nginx" in names else ""
    )
    return _SVG.format(height=y, parts="\n".join(parts), y=y - 12, note=note)
