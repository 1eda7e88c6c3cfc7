"""In which order what is measured of whom."""

from __future__ import annotations

from functools import partial

from bench import measures, mixed
from bench.measures import Scale, Step


def steps(scale: Scale) -> tuple[Step, ...]:
    return (
        *(Step(f"calls{c}", partial(measures.calls, c)) for c in (64, 16, 1)),
        *(Step(f"first{c}", partial(measures.first_chunk, c)) for c in (1, 16)),
        Step("burst", measures.burst),
        Step("paced", measures.paced),
        *(Step(f"held{n}", partial(measures.held, n), bare=False) for n in scale.held),
        Step("bodies", measures.bodies, bare=False),
        Step("memory", measures.memory, bare=False),
        *(Step(f, partial(measures.pictures, f), only="gateway") for f in ("url", "b64_json")),
        Step("beside calls", mixed.calls, only="gateway"),
        Step("beside jobs", mixed.jobs, only="gateway"),
    )
