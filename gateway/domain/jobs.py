"""Jobs: work at a vendor that outlives the request that started it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from gateway.domain.accounts import Kind
from gateway.domain.media import MediaSource

Status = Literal[
    "queued", "submitting", "in_progress", "storing", "completed", "failed", "cancelled"
]
FINAL: frozenset[Status] = frozenset({"completed", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class Job:
    """`account` and `task_id` say where the vendor works on it; times are unix seconds."""

    id: str
    kind: Kind
    owner: str
    model: str
    request: dict[str, Any]  # what the caller asked for, as JSON
    status: Status = "queued"
    upstream: str | None = None
    account: str | None = None
    task_id: str | None = None
    progress: int = 0
    result: dict[str, Any] | None = None  # the body of the synchronous answer
    error: dict[str, Any] | None = None  # message, type, param, code, status
    created_at: float = 0.0
    completed_at: float | None = None
    fingerprint: str | None = None

    @property
    def done(self) -> bool:
        return self.status in FINAL


@dataclass(frozen=True, slots=True)
class VideoTask:
    """State of a task at the vendor: still `running`, or a `video`. Failures raise."""

    running: bool
    percent: int | None = None
    video: MediaSource | None = None
    cover: MediaSource | None = None
    completion_tokens: int = 0
