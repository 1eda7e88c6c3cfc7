"""Counters that add up."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.storage.records.usage import UsageRow, UsageStore

DAY = 86_400
HOUR = 3600
ROW = UsageRow(DAY, "k", "m", "u", "a", requests=1, prompt_tokens=10, completion_tokens=20)


@pytest.fixture
def usage(database) -> UsageStore:
    return UsageStore(database)


def test_counters_of_one_bucket_add_up_within_and_between_batches(usage):
    usage.add_many([ROW, replace(ROW, errors=1, images=2, videos=3, estimated=1), ROW])
    usage.add_many([ROW])
    usage.add_many([])
    total = replace(ROW, requests=4, errors=1, images=2, videos=3, estimated=1)
    total = replace(total, prompt_tokens=40, completion_tokens=80)
    everything = ("hour", "key", "model", "upstream", "account")
    assert usage.report(since=0, until=2 * DAY, group_by=everything) == [total]


def test_a_report_sums_what_it_is_not_grouped_by(usage):
    usage.add_many(
        [
            ROW,
            replace(ROW, hour=DAY + HOUR, model="n\0"),
            replace(ROW, hour=2 * DAY, requests=5),
            replace(ROW, hour=3 * DAY),
        ]
    )
    by_day = usage.report(since=DAY, until=3 * DAY, group_by=["day"])
    assert [(row.hour, row.requests) for row in by_day] == [(DAY, 2), (2 * DAY, 5)]
    by_model = usage.report(since=0, until=4 * DAY, group_by=["model"])
    assert [(row.model, row.requests, row.key) for row in by_model] == [("m", 7, ""), ("n", 1, "")]
    assert [row.requests for row in usage.report(since=DAY, until=2 * DAY)] == [2]
    assert usage.report(since=0, until=DAY) == []


def test_old_hours_are_forgotten(usage):
    usage.add_many(replace(ROW, hour=number * HOUR) for number in range(1200))
    assert usage.purge(older_than=1100 * HOUR) == 1100
    assert [row.requests for row in usage.report(since=0, until=1e9)] == [100]
