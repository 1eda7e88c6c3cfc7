"""What each process of a run leaves on disk for the others: a few kilobytes at a time."""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple


class Note(NamedTuple):
    data: bytes
    alive: bool  # whether the process that wrote it still runs


class Notes:
    """A run is the children of one parent: the workers of a server. What ended runs left goes.

    A process holds a lock on a file of its own for as long as it lives, however it ends.
    All of it is best effort: where nothing can be written there are no notes.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._alive: Callable[[], object] | None = None
        self._settle()
        this = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _settle(this()))

    def _settle(self) -> None:
        self._end()
        self._run = self._directory / _identity(os.getppid())
        self._name = secrets.token_hex(8)

    def write(self, data: bytes) -> None:
        try:
            if self._alive is None:
                self._alive = self._begin()
            fresh = self._run / f"{self._name}.new"
            fresh.write_bytes(data)
            fresh.replace(self._run / f"{self._name}.note")
        except OSError:
            self._end()

    def _end(self) -> None:
        if self._alive is not None:
            self._alive()
            self._alive = None

    def others(self) -> Iterator[Note]:
        """The notes of the run's other processes, also of those that have ended."""
        for path in self._run.glob("*.note"):
            if path.stem != self._name:
                try:
                    yield Note(path.read_bytes(), _is_locked(path.with_suffix(".alive")))
                except OSError:
                    continue

    def _begin(self) -> Callable[[], object]:
        self._run.mkdir(parents=True, exist_ok=True)
        for run in self._directory.iterdir():
            pid = run.name.partition("-")[0]
            if pid.isdecimal() and run.name != _identity(int(pid)):
                shutil.rmtree(run, ignore_errors=True)
        path = self._run / f"{self._name}.alive"
        alive = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        end = weakref.finalize(self, os.close, alive)
        fcntl.flock(alive, fcntl.LOCK_EX)
        return end


def _settle(notes: Notes | None) -> None:
    if notes is not None:
        notes._settle()


def _is_locked(path: Path) -> bool:
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def _identity(pid: int) -> str:
    """A process id and, where it can be told, when the process began: ids come again."""
    try:
        began = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return f"{pid}-"
    return f"{pid}-{began}"
