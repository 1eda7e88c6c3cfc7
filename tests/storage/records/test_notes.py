"""Notes that processes leave for each other."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from gateway.storage.records.notes import Note, Notes

WRITE = """
import sys
from pathlib import Path
from gateway.storage.records.notes import Notes
notes = Notes(Path(sys.argv[1]))
notes.write(b"first")
notes.write(b"from " + sys.argv[2].encode())
print("written", flush=True)
sys.stdin.read()
"""


def writer(folder, name):
    process = subprocess.Popen(
        [sys.executable, "-c", WRITE, str(folder), name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "written\n"
    return process


def end(process):
    process.stdin.close()
    process.wait(20)
    process.stdout.close()


def test_the_children_of_one_parent_read_each_other(tmp_path):
    first, second = writer(tmp_path, "first"), writer(tmp_path, "second")
    run = f"{os.getpid()}-"
    (folder,) = tmp_path.iterdir()
    assert folder.name.startswith(run)
    seen = {path.read_bytes() for path in folder.glob("*.note")}
    assert seen == {b"from first", b"from second"}
    end(first)
    end(second)


def test_a_note_outlives_its_writer_who_is_then_known_to_be_gone(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "getppid", os.getpid)  # as a sibling of those it starts
    mine = Notes(tmp_path)
    mine.write(b"mine")
    other = writer(tmp_path, "other")
    assert list(mine.others()) == [Note(b"from other", True)]
    end(other)
    assert list(mine.others()) == [Note(b"from other", False)]


def test_a_process_goes_on_where_its_notes_were_swept_away(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "getppid", os.getpid)
    mine, other = Notes(tmp_path), Notes(tmp_path)
    mine.write(b"first")
    for folder in tmp_path.iterdir():
        shutil.rmtree(folder)
    mine.write(b"lost")
    mine.write(b"second")
    assert list(other.others()) == [Note(b"second", True)]


def test_what_runs_that_are_over_left_is_removed(tmp_path):
    (tmp_path / "1-0").mkdir()  # another process has this number now
    (tmp_path / "999999999-1").mkdir()
    Notes(tmp_path).write(b"mine")
    (left,) = tmp_path.iterdir()
    assert left.name.startswith(f"{os.getppid()}-")


def test_where_nothing_can_be_written_there_are_no_notes(tmp_path):
    (tmp_path / "file").touch()
    notes = Notes(tmp_path / "file" / "notes")
    notes.write(b"lost")
    assert list(notes.others()) == []


def test_forked_processes_have_notes_of_their_own(tmp_path):
    notes = Notes(tmp_path)
    notes.write(b"parent")
    said, say = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(say, notes._name.encode())
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(said, 100).decode() != notes._name
    os.close(said)
    os.close(say)
