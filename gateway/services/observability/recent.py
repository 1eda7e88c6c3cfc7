"""The newest requests, for operators to look at: how they went, never what they said."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from gateway.domain.money import units
from gateway.services.routing.dispatch import Trace
from gateway.storage.records.audit import RecentRequest, RecentRequestStore

_MOST = 200  # between two writes of a process; of more, the newest are kept
_KEEP = 5000

_Ended = tuple[float, str, str, str, int, float, float | None, Trace]


class RecentRequests:
    """Written to the database every few seconds, so that every process shows all of them."""

    def __init__(
        self, store: RecentRequestStore, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._store = store
        self._clock = clock
        self._ended: deque[_Ended] = deque(maxlen=_MOST)

    def add(
        self,
        owner: str,
        method: str,
        path: str,
        status: int,
        seconds: float,
        first_byte_s: float | None,
        trace: Trace,
    ) -> None:
        self._ended.append(
            (self._clock(), owner, method, path, status, seconds, first_byte_s, trace)
        )

    def newest(
        self, *, limit: int, before: int | None = None, owner: str | None = None
    ) -> list[RecentRequest]:
        """The newest that are written, of one owner or all, from the one before that id."""
        return self._store.newest(limit=limit, before=before, owner=owner)

    def flush(self) -> None:
        """Raises StorageUnavailable; what is not written then is lost."""
        ended, self._ended = self._ended, deque(maxlen=_MOST)
        self._store.add_many([_values(*entry) for entry in ended])

    def purge(self) -> int:
        return self._store.purge(_KEEP)


def _values(
    at: float,
    owner: str,
    method: str,
    path: str,
    status: int,
    seconds: float,
    first_byte_s: float | None,
    trace: Trace,
) -> dict[str, Any]:
    cost = trace.usage.cost if trace.usage is not None else None
    record = {
        "request_id": trace.request_id,
        "method": method[:16],
        "path": path[:200],
        "status": status,
        "ms": round(seconds * 1000, 1),
        "first_byte_ms": round(first_byte_s * 1000, 1) if first_byte_s is not None else None,
        "model": trace.model[:200] or None,
        "served_model": trace.served_model,
        "upstream": trace.upstream,
        "account": trace.account,
        "attempts": trace.attempts,
        "job": trace.job,
        "prompt_tokens": trace.usage.prompt_tokens if trace.usage is not None else None,
        "completion_tokens": trace.usage.completion_tokens if trace.usage is not None else None,
        "cost": units(cost) if cost is not None else None,
        "error": trace.error.code if trace.error is not None else None,
        "message": trace.error.message[:300] if trace.error is not None else None,
    }
    return {"at": at, "owner": owner, "record": record}
