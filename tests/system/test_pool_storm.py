"""Four processes, most of whose accounts keep answering 429, one of them killed midway."""

from __future__ import annotations

import subprocess
import sys
from itertools import islice
from typing import NamedTuple

import pytest

from tests.services.pools import World
from tests.support.process import ROOT, clean_env
from tests.system.pool_storm import CAPS, DEAD

PROCESSES = 4
KNOWN_S = 2.5  # until all processes know of a cooldown, on a busy machine


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
        command += [str(calls // PROCESSES), str(seed)]
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
    """Leases of an account whose cooldown was known to their process, or to all by then."""
    cooling = [line for line in lines if line.what == "cool"]
    return [
        line
        for line in lines
        if line.what == "lent"
        for cool in cooling
        if cool.name == line.name
        and cool.since + (0 if cool.process == line.process else KNOWN_S) < line.since
        and line.until < cool.until
        and not told_later(lines, cool, line)
    ]


def told_later(lines, cool, lent):
    """True if the process told the pool of the cooldown only after the lease had begun."""
    return cool.process == lent.process and any(
        told.what == "told"
        and (told.process, told.name, told.since) == (cool.process, cool.name, cool.since)
        and told.until > lent.since
        for told in lines
    )


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
def test_no_cooling_account_is_lent_and_no_slot_twice(world, soak, kill):
    calls = 10_000 if soak else 480
    lines = storm(world, calls, kill=kill)
    lent = [line for line in lines if line.what == "lent"]
    assert len(lent) > calls / 3
    assert lent_while_cooling(lines) == []
    for name, cap in CAPS.items():
        assert cap is None or most_at_once(lines, name) <= cap
    ejections = [line.since for line in lent if line.name == DEAD]
    assert max(ejections) - min(ejections) < KNOWN_S, "an ejection is known to all"
    sys.stdout.write(f"{len(lent)} accounts lent, 0 while they cooled, 0 beyond their slots\n")
