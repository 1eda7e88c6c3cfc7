"""Images, videos and the jobs behind them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from gateway.api.app import ApiResponse
from gateway.api.context import RequestContext, current
from gateway.api.dialects.serving import streamed
from gateway.api.dialects.stream import StreamWriter
from gateway.api.http.body import json_body, load
from gateway.api.http.described import (
    EVENTS,
    FILE,
    FILES,
    JSON,
    ONCE_OR_LATER,
    described,
    page_query,
)
from gateway.api.http.forms import load_form
from gateway.api.http.heartbeat import announce_job, kept_alive
from gateway.api.http.idempotency import answer_once
from gateway.api.http.pagination import page_response, requested_page
from gateway.api.http.responses import (
    POLL_S,
    dry_run,
    json_response,
    json_with_media,
    poll_response,
)
from gateway.api.renderers import generations as render
from gateway.api.renderers.image_events import ImageEventWriter, Operation
from gateway.api.schemas.images import ImageEditSchema, ImageRequestSchema
from gateway.api.schemas.videos import VideoRequestSchema
from gateway.domain.jobs import Job
from gateway.domain.requests import ImageRequest, VideoRequest

bp = Blueprint("generations", __name__)
_image = ImageRequestSchema()
_edit = ImageEditSchema()
_video = VideoRequestSchema()


@bp.post("/v1/images/generations")
@described(body=_image, headers=ONCE_OR_LATER, answers=(JSON, EVENTS))
def create_image() -> ResponseReturnValue:
    """Make images."""
    context = current()
    document = json_body(context)
    return _generate(context, load(context, _image, document), document, "image_generation")


@bp.post("/v1/images/edits")
@described(
    body=_edit,
    form={"image": FILES, "mask": FILE},
    required=("image",),
    headers=ONCE_OR_LATER,
    answers=(JSON, EVENTS),
)
def edit_image() -> ResponseReturnValue:
    """Make images from others: uploaded with the form, or named in JSON."""
    context = current()
    if request.mimetype == "multipart/form-data":
        wanted, document = load_form(context, _edit, "image", "mask")
    else:
        document = json_body(context)
        wanted = load(context, _edit, document)
    return _generate(context, wanted, document, "image_edit")


@bp.post("/v1/video/generations")
@described(body=_video, headers=ONCE_OR_LATER, answers=(JSON, EVENTS))
def create_video() -> ResponseReturnValue:
    """Make a video: wait, stream the progress, or respond-async."""
    context = current()
    document = json_body(context)
    return _generate(context, load(context, _video, document), document)


@bp.get("/v1/jobs")
@described(query=page_query(100))
def list_jobs() -> ResponseReturnValue:
    """List your jobs."""
    context, page = current(), requested_page(default=20, maximum=100)
    jobs, more = context.services.generation.page(
        context.caller, after=page.after, limit=page.limit, order=page.order
    )
    # Without results: a link counts as use of its media, and nobody asked for any.
    return page_response([render.job_object(job) for job in jobs], more=more)


@bp.get("/v1/jobs/<job_id>")
def get_job(job_id: str) -> ResponseReturnValue:
    """Describe one job, with its result once it is completed."""
    context = current()
    job = context.services.generation.get(job_id, context.caller)
    return poll_response(json_with_media(_job(context, job)), done=job.done)


@bp.delete("/v1/jobs/<job_id>")
def cancel_job(job_id: str) -> ResponseReturnValue:
    """Cancel a job."""
    context = current()
    job = context.services.generation.cancel(job_id, context.caller)
    return json_response(_job(context, job))


def _job(context: RequestContext, job: Job) -> dict[str, Any]:
    result = _result(context, job) if job.status == "completed" else None
    return render.job_object(job, result)


def _result(context: RequestContext, job: Job) -> dict[str, Any]:
    return render.result(job, context.sign, context.services.media.blob)


def _generate(
    context: RequestContext,
    wanted: ImageRequest | VideoRequest,
    document: Mapping[str, Any],
    operation: Operation | None = None,
) -> ApiResponse:
    if context.is_dry_run:
        plan = context.services.generation.plan(wanted, context.caller, context.trace)
        return dry_run(context, plan)
    context.may_be_paid = True
    if _prefers_async(context.environ.get("HTTP_PREFER", "")):
        wanted = replace(wanted, asynchronous=True)
    stream = wanted.stream and not wanted.asynchronous
    return answer_once(
        context, document, lambda job_id: _answer(context, wanted, job_id, operation), stream=stream
    )


def _prefers_async(preferences: str) -> bool:
    """Names are of any case, https://www.rfc-editor.org/rfc/rfc7240#section-2."""
    names = (re.split("[;=]", item, maxsplit=1)[0] for item in preferences.split(","))
    return any(name.strip().lower() == "respond-async" for name in names)


def _answer(
    context: RequestContext,
    wanted: ImageRequest | VideoRequest,
    job_id: str | None,
    operation: Operation | None,
) -> ApiResponse:
    generation, caller, trace = context.services.generation, context.caller, context.trace

    def created() -> str:
        return job_id or generation.create(wanted, caller, trace).id

    if wanted.asynchronous:
        # Attachments may have to be fetched first.
        job = kept_alive(context, lambda: generation.get(created(), caller))
        return _accepted(context, job)
    if wanted.stream:
        writer = _writer(context, wanted, operation)
        return streamed(context, lambda: generation.follow(created(), caller, trace), writer)

    def result() -> dict[str, Any]:
        trace.job = created()
        announce_job(context, stream=False)
        for _ in generation.follow(trace.job, caller, trace):
            pass
        return _result(context, generation.get(trace.job, caller))

    return json_with_media(kept_alive(context, result))


def _writer(
    context: RequestContext, wanted: ImageRequest | VideoRequest, operation: Operation | None
) -> StreamWriter:
    """OpenAI's image events for a client that knows them, else chunks of a chat."""
    if isinstance(wanted, ImageRequest) and wanted.partial_images is not None:
        assert operation is not None
        return ImageEventWriter(operation, wanted, context.sign, context.services.media.blob)
    return render.GenerationChunkWriter(wanted.model, context.sign, include_usage=False)


def _accepted(context: RequestContext, job: Job) -> ApiResponse:
    response = json_with_media(_job(context, job))
    response.status_code = 202
    response.headers["Retry-After"] = POLL_S
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    response.headers["Preference-Applied"] = "respond-async"
    return response
