"""Videos of the caller's earlier jobs, as inputs of a new one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from gateway.domain.errors import Conflict, NotFound
from gateway.domain.jobs import Job
from gateway.domain.media import MediaRef
from gateway.domain.requests import EarlierJob, ImageRequest, Reference, VendorTask, VideoRequest
from gateway.services.jobs.records import stored_of
from gateway.services.media.uploads import stored_link


def with_earlier_jobs(
    request: ImageRequest | VideoRequest, job_of: Callable[[str], Job]
) -> ImageRequest | VideoRequest:
    """The request with the videos of its earlier jobs. Raises NotFound, Conflict by field.

    A draft is finished by the vendor that has it; a video to edit or extend is taken from the
    store, so that any account can serve the request.
    """
    if not isinstance(request, VideoRequest) or not request.earlier_jobs:
        return request
    references, final_of = list(request.references), request.final_of
    for earlier in request.earlier_jobs:
        job = _finished(earlier, job_of)
        if earlier.use == "final_of":
            final_of = VendorTask(job.upstream or "", job.account or "", job.task_id or "")
            continue
        stored, _ = stored_of((job.result or {})["media"][0])
        video = MediaRef("video", earlier.param, url=stored_link(stored.name))
        references.append(Reference("edit" if earlier.use == "edit_of" else "extend", video))
    return replace(request, earlier_jobs=(), references=tuple(references), final_of=final_of)


def _finished(earlier: EarlierJob, job_of: Callable[[str], Job]) -> Job:
    try:
        job = job_of(earlier.job_id)
    except NotFound:
        raise NotFound(f"There is no job {earlier.job_id[:64]!r}.", param=earlier.param) from None
    if job.kind != "video":
        raise NotFound(f"{job.id!r} is no video.", param=earlier.param)
    if job.status != "completed":
        raise Conflict(f"The video {job.id!r} is not completed.", param=earlier.param)
    return job
