"""Four processes, most of whose accounts keep answering 429, one of them killed midway."""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from itertools import islice
from typing import NamedTuple

import pytest

from tests.services.pool_storm import CAPS, DEAD
from tests.support.process import ROOT, clean_env

PROCESSES = 4


class Line(NamedTuple):
    process: int
    what: str
    name: str
    since: float
    until: float


def storm(world, calls, *, kill=False):
    """The lines of all processes; the first is killed after a tenth of its work, if at all."""
    running = []
    for seed in range(PROCESSES):
        command = [sys.executable, "-m", "tests.services.pool_storm", world.database_url]
        command += [str(world.folder), str(calls // PROCESSES), str(seed)]
        running.append(
            subprocess.Popen(
                command, cwd=ROOT, env=clean_env({}), stdout=subprocess.PIPE, text=True
            )
        )
    texts = []
    if kill:
        begun = "".join(islice(running[0].stdout, calls // PROCESSES // 5))
        running[0].kill()
        rest, _ = running[0].communicate()
        texts.append(begun + rest[: rest.rfind("\n") + 1])
    texts += [process.communicate(timeout=600)[0] for process in running[kill:]]
    assert [process.returncode for process in running[kill:]] == [0] * (PROCESSES - kill)
    found = []
    for process, text in enumerate(texts):
        for line in text.splitlines():
            what, name, since, until = line.split()
            found.append(Line(process, what, name, float(since), float(until)))
    return found


def lent_while_cooling(lines):
    """Choices that began after a rest was told to all, and ended before it was over.

    A rest may be covered by a longer one that the same process was just telling.
    """
    telling, rests = defaultdict(list), defaultdict(list)
    for line in lines:
        if line.what == "told":
            telling[line.process, line.name].append(line)
    for line in lines:
        if line.what == "cool":
            told = telling[line.process, line.name]
            own = min(t.until for t in told if t.since == line.since)
            rests[line.name].append((max(t.until for t in told if t.since <= own), line.until))
    return [
        line
        for line in lines
        if line.what == "lent"
        for told_at, over_at in rests[line.name]
        if told_at <= line.since and line.until <= over_at
    ]


def most_at_once(lines, name):
    steps = []
    for line in lines:
        if line.what == "used" and line.name == name:
            steps += [(line.since, 1), (line.until, -1)]
    most = now = 0
    for _, step in sorted(steps):
        now += step
        most = max(most, now)
    return most


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kill", [False, True], ids=["", "with a process killed"])
def test_no_cooling_account_is_lent_and_no_place_twice(any_world, soak, kill):
    calls = 10_000 if soak else 800
    lines = storm(any_world, calls, kill=kill)
    lent = [line for line in lines if line.what == "lent"]
    assert len(lent) > calls / 3
    assert lent_while_cooling(lines) == []
    for name, cap in CAPS.items():
        assert cap is None or most_at_once(lines, name) <= cap
    assert sum(line.name == DEAD for line in lent) <= PROCESSES * 4, "those under way at once"
