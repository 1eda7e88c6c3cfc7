"""Callbacks of jobs: each state is posted to the address that the caller gave."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from threading import Lock, Thread

from gateway.domain.errors import GatewayError
from gateway.domain.jobs import Job
from gateway.net.fetch.fetcher import Fetcher
from gateway.runtime.logs import log

_PAUSES_S = (1.0, 5.0)  # between the tries to tell of an end
_ANNOUNCED = frozenset({"queued", "in_progress", "completed", "failed", "cancelled"})

Body = Callable[[Job], bytes]
"""Renders a job in the form of the dialect that takes callbacks."""


class Callbacks:
    """Posts the states of a job in their order, beside its work."""

    def __init__(self, fetcher: Fetcher, body: Body) -> None:
        self._fetcher = fetcher
        self._body = body
        self._waiting: dict[str, deque[Job]] = {}
        self._lock = Lock()

    def announce(self, job: Job) -> None:
        """Post the job's new state; returns at once."""
        if not job.request.get("callback_url") or job.status not in _ANNOUNCED:
            return
        with self._lock:
            begun = job.id in self._waiting
            self._waiting.setdefault(job.id, deque()).append(job)
        if not begun:
            Thread(target=self._run, args=(job.id,), daemon=True).start()

    def _run(self, job_id: str) -> None:
        while True:
            with self._lock:
                if not self._waiting[job_id]:
                    del self._waiting[job_id]
                    return
                job = self._waiting[job_id].popleft()
            self._post(job)

    def _post(self, job: Job) -> None:
        """Post once; an end again until it is acknowledged."""
        url, body = job.request["callback_url"], self._body(job)
        problem = ""
        for pause_s in (0.0, *_PAUSES_S) if job.done else (0.0,):
            time.sleep(pause_s)
            try:
                status = self._fetcher.post(url, body)
            except GatewayError as err:
                problem = err.message
                continue
            if 200 <= status < 300:
                return
            problem = f"The answer was {status}."
        log.warning("callback_failed", job=job.id, status=job.status, error=problem)
