"""The benchmark works: every step, on counts that say nothing about speed."""

from __future__ import annotations

import json

import pytest

from bench import calls, documents, goals, layers, report, run
from bench.measures import Scale

pytestmark = pytest.mark.timeout(600)  # with --soak six gateways start

TINY = Scale(seconds=0.2, held=(20,), jobs=3, sizes=20, picture=20_000, body=100_000)
ROOT = documents.ROOT
MOST_CALLS = 860  # Python functions called for one chat; lower it with each gain


@pytest.fixture(scope="module")
def measured(tmp_path_factory, soak):
    plan = run.Plan(scale=TINY, repeats=1, growth=soak)
    found = run.measured(plan, tmp_path_factory.mktemp("bench"))
    return json.loads(json.dumps(found | {"quick": True, "took_s": 1}))


def test_every_step_brings_numbers_and_no_errors(measured):
    own = measured["targets"]["gateway"]["median"]
    assert own["errors"] == 0
    assert own["held20_complete"] == 1
    expected = {name for name, _ in report.ROWS if not name.startswith("held")}
    assert expected <= own.keys()
    zero = {name for name in expected - {"errors"} if "added" not in name and own[name] <= 0}
    assert not {name for name in zero if "cpu" not in name}  # a tick of CPU is long for so little


def test_a_chat_takes_no_more_function_calls_than_it_did(tmp_path):
    assert sum(calls.counted(tmp_path).values()) <= MOST_CALLS


def test_a_stream_is_counted_whole_and_a_call_costs_something(measured):
    turns = measured["targets"]["gateway"]["turns"]
    assert turns["calls_per_s_c64"][0] > 0
    assert measured["targets"]["mock"]["median"]["burst_chunks_per_s"] > 0


def test_growth_compares_sizes(measured, soak):
    if soak:
        ratios = measured["growth"]["ratios"]
        assert {"accounts_cpu", "keys_cpu", "workers_cpu", "two_workers_rate"} <= ratios.keys()
        assert all(size["errors"] == 0 for size in measured["growth"]["sizes"].values())


def test_a_goal_is_met_missed_or_not_measured():
    def run_with(**gateway):
        turns = {"gateway": gateway, "gw-full": {"calls_per_s_c64": [100, 100]}}
        median = {name: values[0] for name, values in gateway.items()}
        return {"targets": {n: {"turns": t, "median": median} for n, t in turns.items()}}

    def verdict(found, what, goal):
        return next(
            row["met"] for row in goals.judged(found) if (row["what"], row["goal"]) == (what, goal)
        )

    found = run_with(calls_per_s_c64=[150, 160], paced_cpu_us=[80])
    assert verdict(found, "calls/s, 64 at once", "≥ 1 × gw-full") is True
    assert verdict(found, "calls/s, 64 at once", "≥ 2 × gw-full") is False
    assert verdict(found, "calls/s, 64 at once", "≥ 15 × litellm") is None
    assert verdict(found, "CPU per paced chunk", "≤ 105 µs") is True
    assert verdict(found, "CPU per paced chunk", "≤ 60 µs") is False


def test_a_sample_belongs_to_the_innermost_layer_that_asked(tmp_path):
    server = "handle (/srv/gateway/server/connection.py:10)"
    limits = "take (/srv/gateway/services/access/limits.py:44)"
    loop = "run (/venv/gevent/hub.py:1)"
    raw = tmp_path / "samples"
    raw.write_text(
        f"{loop} 1\n{server};send (/venv/gevent/_socket3.py:5) 2\n"
        f"{server};{limits};hash (/usr/lib/python3.13/hashlib.py:1) 5\n"
    )
    shares = layers.told_apart(raw)
    assert shares["limits"] == 0.625
    assert shares["server: connections, requests, responses"] == 0.25
    assert shares["event loop"] == 0.125


@pytest.mark.parametrize("document", documents.DOCUMENTS, ids=lambda path: path.name)
def test_figures_in_the_documents_are_those_of_the_result_file(document):
    result = documents.source((ROOT / "docs" / "performance.md").read_text("utf-8"))
    quoted = report.quoted(json.loads(result.read_text("utf-8")), result.name)
    text = document.read_text("utf-8")
    assert documents.filled(text, quoted) == text


def test_the_chart_in_the_readme_is_drawn_from_the_result_file():
    page = (ROOT / "docs" / "performance.md").read_text("utf-8")
    found = json.loads(documents.source(page).read_text("utf-8"))
    assert documents.CHART.read_text("utf-8") == report.chart.drawn(found["targets"])
    assert "(docs/performance.svg)" in (ROOT / "README.md").read_text("utf-8")
