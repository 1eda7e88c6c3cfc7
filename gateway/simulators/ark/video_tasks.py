"""Video tasks over time: queued, running, and their outcome."""

from __future__ import annotations

import random
import string
import time
from collections import Counter
from dataclasses import dataclass, replace
from threading import Lock

from gateway.simulators.ark.protocol import ArkError
from gateway.simulators.ark.video_requests import FPS, VideoRequest
from gateway.simulators.behaviour import Behaviour
from gateway.simulators.ledger import Ledger

UNFINISHED = ("queued", "running")

_CONCURRENT = 10
_QUEUED_SHARE = 0.25
_TOKEN_PIXELS = 1024
_FAILURES = {
    "failed": ("InternalServiceError", "The service encountered an unexpected internal error."),
    "filtered": (
        "OutputVideoSensitiveContentDetected",
        "The request failed because the output video may contain sensitive information.",
    ),
}


@dataclass(frozen=True, slots=True)
class Task:
    """One video. Its status follows from the clock, so nothing has to run in between."""

    id: str
    owner: str
    order: VideoRequest
    outcome: str
    error: tuple[str, str] | None
    video_url: str
    last_frame_url: str | None
    created_at: float
    starts_at: float
    ends_at: float
    cancelled_at: float | None = None

    def status(self, now: float) -> str:
        """Return the status at a Unix time."""
        if self.cancelled_at is not None:
            return "cancelled"
        if now < self.starts_at:
            return "queued"
        return "running" if now < self.ends_at else self.outcome

    def view(self, now: float) -> dict[str, object]:
        """Return the task as `get`, `list` and callbacks show it."""
        order, status = self.order, self.status(now)
        changes = {"queued": self.created_at, "running": self.starts_at}
        page: dict[str, object] = {
            "id": self.id,
            "model": order.model,
            "status": status,
            "created_at": int(self.created_at),
            "updated_at": int(self.cancelled_at or changes.get(status, self.ends_at)),
            "service_tier": order.tier,
            "execution_expires_after": order.expires_after_s,
        }
        if order.safety_identifier is not None:
            page["safety_identifier"] = order.safety_identifier
        if status == "failed" and self.error is not None:
            page["error"] = dict(zip(("code", "message"), self.error, strict=True))
        if status == "succeeded":
            page |= self._result()
        return page

    def _result(self) -> dict[str, object]:
        order = self.order
        content = {"video_url": self.video_url}
        if self.last_frame_url is not None:
            content["last_frame_url"] = self.last_frame_url
        length = (
            {"frames": order.frames} if order.frames_asked else {"duration": order.frames // FPS}
        )
        tokens = order.width * order.height * (order.frames + 1) // _TOKEN_PIXELS
        return {
            "error": None,
            "content": content,
            "usage": {"completion_tokens": tokens, "total_tokens": tokens},
            "seed": order.seed,
            "resolution": order.resolution,
            "ratio": order.ratio,
            **length,
            "framespersecond": FPS,
            **({} if order.sound is None else {"generate_audio": order.sound}),
            "draft": order.draft,
            **({} if order.draft_of is None else {"draft_task_id": order.draft_of}),
            "priority": order.priority,
        }


class Tasks:
    """The tasks of all accounts. An account is a credential."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._lock = Lock()
        self._tasks: dict[str, Task] = {}
        self._unsettled: set[str] = set()
        self._deleted: set[str] = set()
        self._asked: Counter[tuple[str, str, int]] = Counter()

    def create(
        self, owner: str, behaviour: Behaviour, order: VideoRequest, urls: tuple[str, str | None]
    ) -> Task:
        """Queue a task; it starts when the model has a free place for the account."""
        now = time.time()
        seconds = behaviour.number("video")
        failure = next((_FAILURES[word] for word in _FAILURES if word in behaviour), None)
        outcome = "expired" if "expired" in behaviour else "failed" if failure else "succeeded"
        suffix = "".join(random.choices(string.ascii_lowercase + string.digits, k=5))
        with self._lock:
            ends = sorted(
                task.ends_at
                for task in self._tasks.values()
                if task.owner == owner
                and task.order.model == order.model
                and task.status(now) in UNFINISHED
            )
            free = ends[-_CONCURRENT] if len(ends) >= _CONCURRENT else now
            starts = max(free, now + seconds * _QUEUED_SHARE)
            task = Task(
                id=f"cgt-{time.strftime('%Y%m%d%H%M%S')}-{suffix}",
                owner=owner,
                order=order,
                outcome=outcome,
                error=failure,
                video_url=urls[0],
                last_frame_url=urls[1],
                created_at=now,
                starts_at=starts,
                ends_at=starts + seconds * (1 - _QUEUED_SHARE),
            )
            self._tasks[task.id] = task
            self._unsettled.add(task.id)
        self._ledger.add("tasks", task.id)
        return task

    def get(self, task_id: str, owner: str) -> Task:
        """Return a task of the same account; raises NotFound.Task."""
        self.update_ledger()
        task = self.find(task_id)
        if task is None or task.owner != owner:
            message = f"The task {task_id} does not exist."
            raise ArkError(404, "NotFound.Task", message, "id", "NotFound")
        return task

    def find(self, task_id: str) -> Task | None:
        """Return a task of any account, if its record is there."""
        with self._lock:
            return self._tasks.get(task_id)

    def owned(self, owner: str) -> list[Task]:
        """Return the account's tasks, newest first."""
        self.update_ledger()
        with self._lock:
            return [task for task in reversed(self._tasks.values()) if task.owner == owner]

    def remove(self, task_id: str, owner: str) -> None:
        """Cancel a queued task, or forget a finished one; the others are refused."""
        if task_id in self._deleted:
            self._ledger.violation(f"task {task_id} was deleted twice")
        now = time.time()
        task = self.get(task_id, owner)
        status = task.status(now)
        if status == "running":
            message = "Cannot delete task because it is currently running."
            raise ArkError(409, "InvalidAction.RunningTaskDeletion", message, type="Conflict")
        if status == "cancelled":
            message = "Cannot delete task because it is already cancelled."
            raise ArkError(400, "InvalidAction.CancelledTaskDeletion", message)
        with self._lock:
            if status == "queued":
                self._tasks[task_id] = replace(task, cancelled_at=now)
                self._unsettled.discard(task_id)
            else:
                self._tasks.pop(task_id, None)
                self._deleted.add(task_id)
        self._ledger.record_end("tasks", task_id, "cancelled" if status == "queued" else "deleted")

    def pace(self, owner: str, operation: str, per_second: int) -> None:
        """Refuse requests above the account's rate for an operation, per second of the clock."""
        second = int(time.time())
        with self._lock:
            for key in [key for key in self._asked if key[2] != second]:
                del self._asked[key]
            self._asked[owner, operation, second] += 1
            if self._asked[owner, operation, second] <= per_second:
                return
        message = f"The account exceeds {per_second} requests per second to this API."
        raise ArkError(429, "AccountRateLimitExceeded", message, type="TooManyRequests")

    def update_ledger(self) -> None:
        """Record the tasks that finished since the last call."""
        now = time.time()
        with self._lock:
            over = [
                (task_id, self._tasks[task_id].status(now))
                for task_id in self._unsettled
                if now >= self._tasks[task_id].ends_at
            ]
            self._unsettled.difference_update(task_id for task_id, _ in over)
        for task_id, status in over:
            self._ledger.record_end("tasks", task_id, status)
