"""Errors of a store, logged once a minute and not for every call that meets them."""

from __future__ import annotations

import time
from collections.abc import Sequence

from gateway.runtime.logs import log

_REPEAT_S = 60.0


class ThrottledErrorLog:
    """Log of one event: a cause is written when it changes, and again after a minute."""

    def __init__(self, event: str) -> None:
        self._event = event
        self._last: tuple[str, float] | None = None

    def record(self, cause: str) -> str:
        """Log `cause` if it is due, and return it."""
        now = time.monotonic()
        if self._last is None or self._last[0] != cause or now - self._last[1] > _REPEAT_S:
            self._last = (cause, now)
            log.warning(self._event, cause=cause)
        return cause


def describe_error(err: BaseException, *, hidden: Sequence[str] = ()) -> str:
    """Type, SQLSTATE if there is one, and first line of an error, without the `hidden` texts."""
    line = next(iter(str(err).splitlines()), "").strip()
    for secret in filter(None, hidden):
        line = line.replace(secret, "***")
    state = getattr(err, "sqlstate", None)
    return f"{type(err).__name__}{f' {state}' if state else ''}: {line}"
