"""Files that the processes of one machine map into memory."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path


def opened(path: Path, size: int) -> int:
    """A descriptor of the file, which has at least `size` bytes. Raises OSError.

    Its room on the disk is taken now: a process that writes to a part of a mapping for
    which the disk has no room is killed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        # Where the filesystem cannot reserve, zeros are written, which must not meet a count.
        fcntl.flock(file, fcntl.LOCK_EX)
        os.posix_fallocate(file, 0, size)
        fcntl.flock(file, fcntl.LOCK_UN)
    except BaseException:
        os.close(file)
        raise
    return file


def boot_id() -> str:
    """Random id of the machine's boot; "" where there is none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
