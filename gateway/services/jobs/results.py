"""Results of jobs on their way from the vendor into the media store.

A result that has a link and cannot be read or stored yet is listed in `waiting` of the job's
result, and read again later; one without a link is tried again while the vendor's answer lasts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from gateway.domain.errors import (
    GatewayError,
    JobFailed,
    StorageUnavailable,
    UpstreamError,
    UpstreamInvalidResponse,
)
from gateway.domain.events import MediaReady, MediaStored, Usage
from gateway.domain.jobs import Job, VideoTask
from gateway.domain.media import StoredMedia
from gateway.net.fetch.fetcher import Fetcher
from gateway.runtime.logs import log
from gateway.services.jobs.progress import JobProgress
from gateway.services.jobs.records import media_entry, usage_record
from gateway.services.media.media import MediaService
from gateway.upstreams.media_sources import from_url

_RETRY_S = (1.0, 2.0, 5.0, 10.0, 20.0, 30.0)  # with the only copy of an image in memory

Entry = dict[str, Any]


class Results:
    def __init__(
        self,
        media: MediaService,
        fetcher: Fetcher,
        *,
        price: Callable[[Job, Usage], None],
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._media = media
        self._fetcher = fetcher
        self._price = price
        self._sleep = sleep

    def keep(self, progress: JobProgress, event: MediaReady) -> None:
        """Store an image and save that in the job, or its link where it cannot be stored yet.

        Raises GatewayError, `sent`, for one that has no link.
        """
        result = progress.job.result or {"media": [], "waiting": []}
        made, waiting = list(result["media"]), list(result["waiting"])
        if event.source.url is None:
            made.append(self._stored_inline(progress.job, event))
        else:
            try:
                stored = self._media.archive(event.source, progress.job.owner)
            except GatewayError as err:
                log.warning("result_waits", job=progress.job.id, code=err.code, message=err.message)
                link = {"url": event.source.url, "mime_type": event.source.mime_type}
                waiting.append({"kind": event.kind, **link})
            else:
                made.append(media_entry(MediaStored(event.kind, stored)))
        progress.to(result={"media": made, "waiting": waiting})

    def _stored_inline(self, job: Job, event: MediaReady) -> Entry:
        for pause_s in (*_RETRY_S, None):
            try:
                stored = self._media.archive(event.source, job.owner)
            except UpstreamInvalidResponse:
                raise
            except (StorageUnavailable, UpstreamError) as err:
                if pause_s is None and isinstance(err, StorageUnavailable):
                    err.sent = True
                    raise
                if pause_s is None:
                    message = f"The vendor's result could not be read: {err.message}"
                    raise JobFailed(message, sent=True) from err
                self._sleep(pause_s)
            else:
                return media_entry(MediaStored(event.kind, stored))
        raise AssertionError  # the last pause is None

    def generated(self, progress: JobProgress, usage: Usage) -> None:
        """Complete an image job, or go on to store what still waits."""
        result = progress.job.result or {}
        made, waiting = result["media"], result.get("waiting")
        usage.images = usage.images or len(made) + len(waiting or ())
        self._price(progress.job, usage)
        if waiting:
            result = {**result, "usage": usage_record(usage)}
            progress.to(status="storing", progress=99, result=result)
        else:
            self.complete(progress, made, usage)

    def store_waiting(self, progress: JobProgress) -> None:
        """Store what waits; raises the failure of the first that still cannot be."""
        result = progress.job.result or {}
        made, waiting = list(result["media"]), []
        failure: GatewayError | None = None
        for link in result["waiting"]:
            try:
                source = from_url(self._fetcher, link["url"], link["mime_type"])
                stored = self._media.archive(source, progress.job.owner)
            except GatewayError as err:
                failure = failure or err
                waiting.append(link)
            else:
                made.append(media_entry(MediaStored(link["kind"], stored)))
        if len(waiting) < len(result["waiting"]):
            progress.to(result={**result, "media": made, "waiting": waiting})
        if failure is not None:
            raise failure
        self.complete(progress, made, Usage(**result["usage"]))

    def store_video(self, progress: JobProgress, task: VideoTask) -> None:
        """Store a finished task's video and thumbnail, and complete the job."""
        job = progress.job
        if job.status != "storing":
            progress.to(status="storing", progress=99)
        assert task.video is not None
        stored = self._media.archive(task.video, job.owner)
        entry = media_entry(MediaStored("video", stored, self._thumbnail(task, job)))
        usage = Usage(completion_tokens=task.completion_tokens, videos=1)
        self._price(job, usage)
        self.complete(progress, [entry], usage)

    def _thumbnail(self, task: VideoTask, job: Job) -> StoredMedia | None:
        """The video's still; None where the vendor has none that can be read."""
        if task.cover is None:
            return None
        try:
            return self._media.archive(task.cover, job.owner)
        except UpstreamError as err:
            log.warning("thumbnail_lost", job=job.id, code=err.code, message=err.message)
            return None

    def complete(self, progress: JobProgress, media: list[Entry], usage: Usage) -> None:
        result = {"media": media, "usage": usage_record(usage)}
        progress.to(status="completed", progress=100, result=result, error=None)
