"""A bell that the processes of one machine share, to hear of changes without asking for them."""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Sequence
from pathlib import Path

from gateway.runtime.logs import log
from gateway.storage.db.mapped import opened

_COUNTER_BYTES = 8


class Bell:
    """A counter per topic in a small file that is mapped into memory.

    All processes must name the same topics. Ring after the change is stored: whoever
    hears the ring then finds the change. Where the file cannot be made or locked, a ring
    may not be heard: those who listen also look by themselves now and then.
    """

    def __init__(self, path: Path, topics: Sequence[str]) -> None:
        self._path = path
        self._places = {topic: place for place, topic in enumerate(topics)}
        size = len(topics) * _COUNTER_BYTES
        try:
            file = opened(path, size)
        except OSError as err:
            log.warning("bell_unshared", path=str(path), message=str(err))
            file = -1
        self._counters = memoryview(mmap.mmap(file, size)).cast("Q")
        if file >= 0:
            os.close(file)

    def ring(self, topic: str) -> int:
        """Returns what `rung` says because of it."""
        # A lock belongs to the opened file, so each ring opens its own: it then also holds
        # off other threads, and processes that were forked with this bell.
        try:
            with self._path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                return self._count(topic)
        except OSError:
            return self._count(topic)

    def _count(self, topic: str) -> int:
        self._counters[self._places[topic]] += 1
        return self._counters[self._places[topic]]

    def rung(self, topic: str) -> int:
        """A number that another ring of the topic changes."""
        return self._counters[self._places[topic]]
