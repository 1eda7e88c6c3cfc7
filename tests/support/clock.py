"""A clock that a test sets."""

from __future__ import annotations


class Clock:
    """A clock that moves when a test says so."""

    def __init__(self) -> None:
        self.time = 1_000_000.0

    def __call__(self) -> float:
        return self.time
