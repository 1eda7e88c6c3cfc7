"""Siblings hear of changes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

from gateway.storage.db.bell import Bell
from tests.support.process import ROOT

TOPICS = ("keys", "accounts")


def test_a_ring_is_heard_by_all_who_share_the_file_and_on_its_topic_only(tmp_path):
    one, other = (Bell(tmp_path / "state" / "bell", TOPICS) for _ in range(2))
    before = other.rung("keys"), other.rung("accounts")
    one.ring("keys")
    assert other.rung("keys") != before[0]
    assert other.rung("accounts") == before[1]
    assert Bell(tmp_path / "state" / "bell", TOPICS).rung("keys") == one.rung("keys")


def test_no_ring_is_lost_between_threads_and_processes(tmp_path):
    path = tmp_path / "bell"
    bell = Bell(path, TOPICS)
    script = (
        "import sys; from pathlib import Path; from gateway.storage.db.bell import Bell\n"
        "bell = Bell(Path(sys.argv[1]), ('keys', 'accounts'))\n"
        "for _ in range(500): bell.ring('keys')"
    )
    command = [sys.executable, "-c", script, str(path)]
    children = [subprocess.Popen(command, cwd=ROOT) for _ in range(3)]
    threads = [
        threading.Thread(target=lambda: [bell.ring("keys") for _ in range(500)]) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [child.wait(60) for child in children] == [0, 0, 0]
    assert bell.rung("keys") == 3000


def test_a_bell_of_a_version_with_fewer_topics_grows(tmp_path):
    old = Bell(tmp_path / "bell", TOPICS)
    old.ring("keys")
    new = Bell(tmp_path / "bell", (*TOPICS, "states"))
    new.ring("states")
    new.ring("keys")
    assert (old.rung("keys"), new.rung("states")) == (2, 1)
    assert os.path.getsize(tmp_path / "bell") == 24


def test_a_ring_is_heard_also_where_the_file_cannot_be_opened_any_more(tmp_path):
    one, other = (Bell(tmp_path / "bell", TOPICS) for _ in range(2))
    (tmp_path / "bell").unlink()
    assert one.ring("keys") == other.rung("keys") == 1


def test_without_a_place_for_the_file_only_its_own_process_hears_it(tmp_path):
    (tmp_path / "file").touch()
    bell = Bell(tmp_path / "file" / "bell", TOPICS)
    assert bell.ring("keys") == bell.rung("keys") == 1
