"""Streams that wait for the test: a piece leaves when one was released."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from threading import Condition

_LOOK_S = 0.5


class Gates:
    """One gate per credential. Pieces released early wait for their stream."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._released: Counter[str] = Counter()
        self._sent: Counter[str] = Counter()

    def release(self, credential: str, pieces: int) -> None:
        """Let so many more pieces through."""
        with self._changed:
            self._released[credential] += pieces
            self._changed.notify_all()

    def sent(self, credential: str) -> int:
        """Return how many pieces have passed."""
        with self._changed:
            return self._sent[credential]

    def passed(self, credential: str) -> None:
        """Count a piece that is on the wire."""
        with self._changed:
            self._sent[credential] += 1

    def wait(self, credential: str, check: Callable[[], None]) -> None:
        """Wait for a released piece and take it; `check` may raise to give up waiting."""
        with self._changed:
            while not self._released[credential]:
                if not self._changed.wait(_LOOK_S):
                    check()
            self._released[credential] -= 1

    def reset(self) -> None:
        """Close all gates and forget what passed."""
        with self._changed:
            self._released.clear()
            self._sent.clear()
