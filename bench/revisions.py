"""The project as it was at a commit, in a folder of its own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.targets import ROOT


@contextmanager
def checked_out(revision: str, folder: Path) -> Iterator[Path]:
    """Its root; the project itself where the revision is empty."""
    if not revision:
        yield ROOT
        return
    root = folder / f"source-{revision}"
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "--quiet", "--detach", root, revision], check=True)
    try:
        yield root
    finally:
        subprocess.run([*git, "remove", "--force", root], check=True)


def subject(revision: str) -> str:
    """What the commit says it does."""
    command = ["git", "-C", str(ROOT), "log", "-1", "--format=%s", revision]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
