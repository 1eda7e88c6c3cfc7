"""When what others held may be taken for abandoned."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from gateway.domain.errors import StorageUnavailable

_PROMPT_S = 1.0


class Calm:
    """Whether the database has been there for as long as a lease.

    While it is away nobody can renew what is held, so that all leases lapse. Once it is back
    it is the holders' turn first.
    """

    def __init__(self, lease_s: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._lease_s = lease_s
        self._clock = clock
        self._from = clock()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """For a look at the database: one that fails, or has to wait, ends the calm."""
        began = self._clock()
        try:
            yield
        except StorageUnavailable:
            self._from = self._clock() + self._lease_s
            raise
        if self._clock() - began > _PROMPT_S:
            self._from = self._clock() + self._lease_s

    def __bool__(self) -> bool:
        return self._clock() >= self._from
