"""Callbacks: a POST to `callback_url` for each state that a task enters."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Thread

import orjson

from gateway.simulators.ark.video_tasks import UNFINISHED, Task
from gateway.simulators.media.loopback import Unreachable, post

_RETRIES = 3
_ACKNOWLEDGE_S = 5

Current = Callable[[], Task | None]
"""Returns the task as it is by then, or None when its record is gone."""


def announce(task: Task, current: Current) -> None:
    """Post the task as it is queued, starts and ends, from a thread of its own."""
    if task.order.callback_url is not None:
        Thread(target=_run, args=(task, task.order.callback_url, current), daemon=True).start()


def _run(created: Task, url: str, current: Current) -> None:
    for at in (created.created_at, created.starts_at, created.ends_at):
        time.sleep(max(0.0, at - time.time()))
        task = current()
        if task is None or task.cancelled_at is not None:
            return
        _post(url, task)


def _post(url: str, task: Task) -> None:
    """Post once; the end of a task again until it is acknowledged, three times at most."""
    now = time.time()
    body = orjson.dumps(task.view(now))
    attempts = 1 if task.status(now) in UNFINISHED else 1 + _RETRIES
    for _ in range(attempts):
        try:
            post(url, body, timeout_s=_ACKNOWLEDGE_S)
        except Unreachable:
            continue
        return
