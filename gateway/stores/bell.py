"""A bell that the processes of one machine share, to hear of changes without asking for them."""

from __future__ import annotations

import fcntl
import mmap
from collections.abc import Sequence
from pathlib import Path

_COUNTER_BYTES = 8


class Bell:
    """A counter per topic in a small file that is mapped into memory.

    All processes must name the same topics. Ring after the change is stored: whoever
    hears the ring then finds the change.
    """

    def __init__(self, path: Path, topics: Sequence[str]) -> None:
        self._path = path
        self._places = {topic: place for place, topic in enumerate(topics)}
        size = len(topics) * _COUNTER_BYTES
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as file:
            if file.tell() < size:
                file.truncate(size)
        with path.open("r+b") as file:
            self._counters = memoryview(mmap.mmap(file.fileno(), size)).cast("Q")

    def ring(self, topic: str) -> int:
        """Returns what `rung` says because of it."""
        # A lock belongs to the opened file, so each ring opens its own: it then also holds
        # off other threads, and processes that were forked with this bell.
        with self._path.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            self._counters[self._places[topic]] += 1
            return self._counters[self._places[topic]]

    def rung(self, topic: str) -> int:
        """A number that another ring of the topic changes."""
        return self._counters[self._places[topic]]
