"""Rows of the database held in memory, read again when their version number has moved."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock
from typing import Generic, TypeVar

from gateway.domain.errors import StorageUnavailable

T = TypeVar("T")


class VersionedCache(Generic[T]):
    """`value` as of the last look; `refresh` is called once a second by a periodic task.

    While the database is away the value stays as it was, and `away` is true.
    """

    def __init__(
        self,
        read_version: Callable[[], int],
        read: Callable[[], T],
        *,
        initial: T,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`initial` is the value until the first look."""
        self._read_version = read_version
        self._read = read
        self._clock = clock
        self._lock = Lock()
        self._version: int | None = None
        self._looked_at: float | None = None
        self.value = initial
        self.away = False

    def refresh(self) -> T:
        """Look at the version number, and read the value if it moved. Raises StorageUnavailable."""
        with self._lock:
            return self._look()

    def within(self, age_s: float, *, wait_s: float = 0.5) -> T:
        """The value, not older than `age_s` where the database is there.

        Waits for another thread's look for at most `wait_s`.
        """
        if self._old(age_s) and self._lock.acquire(timeout=wait_s):
            try:
                if self._old(age_s):
                    self._look()
            except StorageUnavailable:
                pass  # `away` says so
            finally:
                self._lock.release()
        return self.value

    def _old(self, age_s: float) -> bool:
        if self._looked_at is None:
            return True
        return self._clock() - self._looked_at > age_s

    def _look(self) -> T:
        try:
            version = self._read_version()
            if version != self._version:
                self.value = self._read()  # at least as new as the version
                self._version = version
            self.away = False
        except StorageUnavailable:
            self.away = True
            raise
        finally:
            self._looked_at = self._clock()
        return self.value
