"""A clock that runs evenly, whatever is done to the clock of the wall."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path


def boot_id() -> str:
    """What differs after every start of the machine; "" where that cannot be told."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


class SteadyClock:
    """Unix seconds as they were when the machine's processes first asked, counted on from there.

    The file is what makes them agree, since a process that starts after the clock was set
    would begin elsewhere. It holds until the machine starts anew.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ahead_s: float | None = None  # of the monotonic clock

    def __call__(self) -> float:
        if self._ahead_s is None:
            self._ahead_s = self._agreed()
        return self._ahead_s + time.monotonic()

    def _agreed(self) -> float:
        boot = boot_id()
        with suppress(OSError, ValueError):
            known, ahead_s = self._path.read_text().split()
            if known == boot:
                return float(ahead_s)
        found = time.time() - time.monotonic()
        if boot:
            fresh = self._path.with_name(f"{self._path.name}.{os.getpid()}")
            with suppress(OSError):
                fresh.write_text(f"{boot} {found!r}")
                fresh.replace(self._path)
        return found
