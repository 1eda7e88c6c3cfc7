"""Why a store is not available: for the log and the operator, not for callers."""

from __future__ import annotations

import time
from collections.abc import Sequence

from gateway.runtime.logs import log

_AGAIN_S = 60.0


class Causes:
    """Logs a cause when it is another than before, or when it was long ago."""

    def __init__(self, event: str) -> None:
        self._event = event
        self._last: tuple[str, float] | None = None

    def told(self, cause: str) -> str:
        """The cause itself."""
        now = time.monotonic()
        if self._last is None or self._last[0] != cause or now - self._last[1] > _AGAIN_S:
            self._last = (cause, now)
            log.warning(self._event, cause=cause)
        return cause


def named(err: BaseException, *, hidden: Sequence[str] = ()) -> str:
    """Its type, its SQLSTATE if it has one, its first line without what is `hidden`."""
    line = next(iter(str(err).splitlines()), "").strip()
    for secret in filter(None, hidden):
        line = line.replace(secret, "***")
    state = getattr(err, "sqlstate", None)
    return f"{type(err).__name__}{f' {state}' if state else ''}: {line}"
