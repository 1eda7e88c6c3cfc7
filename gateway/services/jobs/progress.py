"""Progress of a job that this process works on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from gateway.domain.events import ImageDraft
from gateway.domain.jobs import Job
from gateway.domain.requests import ImageRequest, VideoRequest


@dataclass(slots=True)
class Prepared:
    """The resolved request of a job that was just created, and what its attachments hold open."""

    request: ImageRequest | VideoRequest
    close: Callable[[], None]


class JobProgress:
    """A job being worked on, as it was last saved.

    `unreadable` counts the steps in a row that met an answer nobody understands, `failures`
    those in which a result could not be stored. `prepared` is used by the first submission.
    `show` is called with each draft of an image.
    """

    def __init__(
        self,
        job: Job,
        write: Callable[[Job], Job],
        prepared: Prepared | None = None,
        show: Callable[[ImageDraft], object] = lambda draft: None,
    ) -> None:
        self.job = job
        self.prepared = prepared
        self.show = show
        self.unreadable = self.failures = 0
        self._write = write

    def to(self, **changes: Any) -> None:
        """Save changes. Raises ClaimLost when this process no longer claims the job."""
        self.job = self._write(replace(self.job, **changes))
