"""A clock that runs evenly, whatever is done to the clock of the wall."""

from __future__ import annotations

import fcntl
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
        """What the first process found: others may have been held up between the two looks."""
        boot = boot_id()
        if boot:
            with suppress(OSError), self._path.open("a+") as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                file.seek(0)
                with suppress(ValueError):
                    known, ahead_s = file.read().split()
                    if known == boot:
                        return float(ahead_s)
                found = time.time() - time.monotonic()
                file.truncate(0)
                file.write(f"{boot} {found!r}")
                return found
        return time.time() - time.monotonic()
