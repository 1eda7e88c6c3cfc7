"""Four processes, most of whose accounts keep answering 429, one of them killed midway."""

from __future__ import annotations

import subprocess
import sys
from collections import defaultdict
from itertools import islice
from math import inf
from typing import NamedTuple

import pytest

from tests.services.pools import World
from tests.support.process import ROOT, clean_env
from tests.system.pool_storm import CAPS, DEAD

PROCESSES = 4


@pytest.fixture(params=["sqlite", "postgresql"])
def world(request, tmp_path):
    server = request.getfixturevalue("postgres") if request.param == "postgresql" else None
    made = World(tmp_path, server.url(server.create()) if server else "")
    yield made
    made.close()


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
        command = [sys.executable, "-m", "tests.system.pool_storm", world.database_url]
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
    told = {
        (line.process, line.name, line.since): line.until for line in lines if line.what == "told"
    }
    found, rests = defaultdict(list), defaultdict(list)
    for line in lines:
        if line.what == "cool":
            found[line.process, line.name].append(line)
    for (process, name), cooled in found.items():
        told_at = [told.get((process, name, line.since), inf) for line in cooled]
        for line, own_at in zip(cooled, told_at, strict=True):
            covering = (
                at for other, at in zip(cooled, told_at, strict=True) if other.since <= own_at
            )
            rests[name].append((max(covering), line.until))
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
def test_no_cooling_account_is_lent_and_no_place_twice(world, soak, kill):
    calls = 10_000 if soak else 480
    lines = storm(world, calls, kill=kill)
    lent = [line for line in lines if line.what == "lent"]
    assert len(lent) > calls / 3
    assert lent_while_cooling(lines) == []
    for name, cap in CAPS.items():
        assert cap is None or most_at_once(lines, name) <= cap
    # What the killed process found out may have died with it. Nobody waits long for a trial
    # that does not end, so then each of the others may find out at the same moment.
    finders = PROCESSES if kill else 1
    assert sum(line.name == DEAD for line in lent) <= finders, "one call per quarantine"
    sys.stdout.write(f"{len(lent)} accounts lent, 0 while they cooled, 0 beyond their places\n")
