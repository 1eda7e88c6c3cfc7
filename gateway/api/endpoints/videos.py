"""/v1/videos: the same jobs in Sora's shape.

https://platform.openai.com/docs/api-reference/videos
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue

from gateway.api.context import services, state, trace
from gateway.api.endpoints.media import send
from gateway.api.hooks.auth import caller
from gateway.api.hooks.response_headers import dry_run, signer, wants_plan
from gateway.api.http.body import json_body, json_response, load, polled
from gateway.api.http.forms import load_form
from gateway.api.http.heartbeat import hold
from gateway.api.http.idempotency import once
from gateway.api.http.pagination import page_answer, page_asked
from gateway.api.renderers import generations as render
from gateway.api.schemas.videos import VideoFormSchema, VideoRequestSchema
from gateway.domain.errors import Conflict, NotFound
from gateway.domain.jobs import Job
from gateway.domain.requests import VideoRequest
from gateway.services.jobs.records import stored_of

bp = Blueprint("videos", __name__)
_schema = VideoRequestSchema()
_form = VideoFormSchema()
_POLL_MS = "2000"


@bp.post("/v1/videos")
def create() -> ResponseReturnValue:
    if request.mimetype == "multipart/form-data":
        return _create(*load_form(_form, "input_reference"))
    document = json_body()
    return _create(load(_schema, document), document)


def _create(asked: VideoRequest, document: Mapping[str, Any]) -> Response:
    wanted = replace(asked, asynchronous=True)
    generation, who = services().generation, caller()
    if wants_plan():
        return dry_run(generation.plan(wanted, who, trace()))
    state().paid = True

    def answer(job_id: str | None) -> Response:
        def job() -> Job:
            if job_id is not None:
                return generation.get(job_id, who)
            return generation.create(wanted, who, trace())

        return _answer(hold(job))  # the first frame may have to be fetched

    return once(document, answer)


@bp.get("/v1/videos")
def list_videos() -> ResponseReturnValue:
    page = page_asked(usual=20, most=100)
    found, more = services().generation.page(
        caller(), kinds=("video",), after=page.after, limit=page.limit, order=page.order
    )
    return page_answer([render.video_object(job) for job in found], more=more)


@bp.get("/v1/videos/<job_id>")
def retrieve(job_id: str) -> ResponseReturnValue:
    return _answer(_video(job_id))


@bp.delete("/v1/videos/<job_id>")
def delete(job_id: str) -> ResponseReturnValue:
    _video(job_id)
    services().generation.delete(job_id, caller())
    return json_response({"id": job_id, "object": "video.deleted", "deleted": True})


@bp.get("/v1/videos/<job_id>/content")
def content(job_id: str) -> ResponseReturnValue:
    job = _video(job_id)
    if job.status != "completed":
        raise Conflict(f"The video is {render.shown_status(job)}: there is no content.")
    stored, cover = stored_of((job.result or {})["media"][0])
    variant = request.args.get("variant", "video")
    if variant == "video":
        return send(stored, private=True)
    if variant == "thumbnail" and cover is not None:
        return send(cover, private=True)
    raise NotFound(f"This video has no {variant[:32]!r}.", param="variant")


def _video(job_id: str) -> Job:
    job = services().generation.get(job_id, caller())
    if job.kind != "video":
        raise NotFound("There is no such video.")
    return job


def _answer(job: Job) -> Response:
    response = polled(json_response(render.video_object(job, signer())), done=job.done)
    if not job.done:
        response.headers["openai-poll-after-ms"] = _POLL_MS
    return response
