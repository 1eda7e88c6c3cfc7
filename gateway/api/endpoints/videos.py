"""/v1/videos: the same jobs in Sora's shape.

https://platform.openai.com/docs/api-reference/videos
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from gateway.api.app import ApiResponse
from gateway.api.context import RequestContext, current
from gateway.api.endpoints.media import send
from gateway.api.http.body import json_body, load
from gateway.api.http.described import BYTES, FILE, ONCE, described, page_query
from gateway.api.http.forms import load_form
from gateway.api.http.heartbeat import kept_alive
from gateway.api.http.idempotency import answer_once
from gateway.api.http.pagination import page_response, requested_page
from gateway.api.http.responses import dry_run, json_response, poll_response
from gateway.api.renderers import generations as render
from gateway.api.schemas.videos import VideoRequestSchema
from gateway.domain.errors import Conflict, NotFound
from gateway.domain.jobs import Job
from gateway.domain.requests import VideoRequest
from gateway.services.jobs.records import stored_of

bp = Blueprint("videos", __name__)
_schema = VideoRequestSchema()
_POLL_MS = "2000"


@bp.post("/v1/videos")
@described(body=_schema, form={"input_reference": FILE}, headers=ONCE)
def create() -> ResponseReturnValue:
    """Start a video job."""
    context = current()
    if request.mimetype == "multipart/form-data":
        return _create(context, *load_form(context, _schema, "input_reference"))
    document = json_body(context)
    return _create(context, load(context, _schema, document), document)


def _create(
    context: RequestContext, asked: VideoRequest, document: Mapping[str, Any]
) -> ApiResponse:
    wanted = replace(asked, asynchronous=True)
    generation, caller, trace = context.services.generation, context.caller, context.trace
    if context.is_dry_run:
        return dry_run(context, generation.plan(wanted, caller, trace))
    context.may_be_paid = True

    def answer(job_id: str | None) -> ApiResponse:
        def job() -> Job:
            if job_id is not None:
                return generation.get(job_id, caller)
            return generation.create(wanted, caller, trace)

        # The first frame may have to be fetched.
        return _answer(context, kept_alive(context, job))

    return answer_once(context, document, answer)


@bp.get("/v1/videos")
@described(query=page_query(100))
def list_videos() -> ResponseReturnValue:
    """List your video jobs."""
    context, page = current(), requested_page(default=20, maximum=100)
    jobs, more = context.services.generation.page(
        context.caller, kinds=("video",), after=page.after, limit=page.limit, order=page.order
    )
    return page_response([render.video_object(job) for job in jobs], more=more)


@bp.get("/v1/videos/<job_id>")
def retrieve(job_id: str) -> ResponseReturnValue:
    """Describe one video job."""
    context = current()
    return _answer(context, _video(context, job_id))


@bp.delete("/v1/videos/<job_id>")
def delete(job_id: str) -> ResponseReturnValue:
    """Delete a video job, cancelling it if it runs."""
    context = current()
    _video(context, job_id)
    context.services.generation.delete(job_id, context.caller)
    return json_response({"id": job_id, "object": "video.deleted", "deleted": True})


@bp.get("/v1/videos/<job_id>/content")
@described(query={"variant": {"type": "string"}}, answers=(BYTES,))
def content(job_id: str) -> ResponseReturnValue:
    """Send the bytes of a finished video."""
    context = current()
    job = _video(context, job_id)
    if job.status != "completed":
        raise Conflict(f"The video is {render.shown_status(job)}: there is no content.")
    stored, thumbnail = stored_of((job.result or {})["media"][0])
    variant = request.args.get("variant", "video")
    if variant == "video":
        return send(context, stored, private=True)
    if variant == "thumbnail" and thumbnail is not None:
        return send(context, thumbnail, private=True)
    raise NotFound(f"This video has no {variant[:32]!r}.", param="variant")


def _video(context: RequestContext, job_id: str) -> Job:
    job = context.services.generation.get(job_id, context.caller)
    if job.kind != "video":
        raise NotFound("There is no such video.")
    return job


def _answer(context: RequestContext, job: Job) -> ApiResponse:
    response = json_response(render.video_object(job, context.sign))
    poll_response(response, done=job.done)
    if not job.done:
        response.headers["openai-poll-after-ms"] = _POLL_MS
    return response
