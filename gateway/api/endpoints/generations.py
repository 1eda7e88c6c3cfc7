"""Pictures, videos and the jobs behind them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from flask import Blueprint, Response, request
from flask.typing import ResponseReturnValue

from gateway.api.app import Answer
from gateway.api.context import services, state, trace
from gateway.api.hooks.auth import caller
from gateway.api.hooks.response_headers import dry_run, error_frames, signer, wants_plan
from gateway.api.http.body import JSON, POLL_S, json_body, json_response, load, polled
from gateway.api.http.forms import load_form
from gateway.api.http.heartbeat import event_stream, hold, name_job
from gateway.api.http.idempotency import once
from gateway.api.http.pagination import page_answer, page_asked
from gateway.api.renderers import generations as render
from gateway.api.renderers.chat import chunks
from gateway.api.schemas.images import ImageEditSchema, ImageRequestSchema
from gateway.api.schemas.videos import VideoRequestSchema
from gateway.domain.jobs import Job
from gateway.domain.requests import ImageRequest, VideoRequest
from gateway.net.codecs import json_body as jsonbody

bp = Blueprint("generations", __name__)
_image = ImageRequestSchema()
_edit = ImageEditSchema()
_video = VideoRequestSchema()


@bp.post("/v1/images/generations")
def create_image() -> ResponseReturnValue:
    document = json_body()
    return _generate(load(_image, document), document)


@bp.post("/v1/images/edits")
def edit_image() -> ResponseReturnValue:
    """As OpenAI's SDKs send it: multipart, `image` or `image[]`."""
    return _generate(*load_form(_edit, "image", "mask"))


@bp.post("/v1/video/generations")
def create_video() -> ResponseReturnValue:
    document = json_body()
    return _generate(load(_video, document), document)


@bp.get("/v1/jobs")
def list_jobs() -> ResponseReturnValue:
    page = page_asked(usual=20, most=100)
    found, more = services().generation.page(
        caller(), after=page.after, limit=page.limit, order=page.order
    )
    # Without results: a link counts as use of what it leads to, and nobody asked for any.
    return page_answer([render.job_object(job) for job in found], more=more)


@bp.get("/v1/jobs/<job_id>")
def get_job(job_id: str) -> ResponseReturnValue:
    job = services().generation.get(job_id, caller())
    return polled(streamed_json(_job(job)), done=job.done)


@bp.delete("/v1/jobs/<job_id>")
def cancel_job(job_id: str) -> ResponseReturnValue:
    return json_response(_job(services().generation.cancel(job_id, caller())))


def _job(job: Job) -> dict[str, Any]:
    return render.job_object(job, _result(job) if job.status == "completed" else None)


def _result(job: Job) -> dict[str, Any]:
    return render.result(job, signer(), services().media.blob)


def _generate(
    wanted: ImageRequest | VideoRequest, document: Mapping[str, Any]
) -> ResponseReturnValue:
    generation, who, found = services().generation, caller(), trace()
    if wants_plan():
        return dry_run(generation.plan(wanted, who, found))
    state().paid = True
    if _prefers_async(request.headers.get("Prefer", "")):
        wanted = replace(wanted, asynchronous=True)
    stream = wanted.stream and not wanted.asynchronous
    return once(document, lambda job_id: _answer(wanted, job_id), stream=stream)


def _prefers_async(preferences: str) -> bool:
    """Names are of any case, https://www.rfc-editor.org/rfc/rfc7240#section-2."""
    names = (re.split("[;=]", item, maxsplit=1)[0] for item in preferences.split(","))
    return any(name.strip().lower() == "respond-async" for name in names)


def _answer(wanted: ImageRequest | VideoRequest, job_id: str | None) -> Response:
    generation, who, found = services().generation, caller(), trace()

    def begun() -> str:
        return job_id or generation.create(wanted, who, found).id

    if wanted.asynchronous:
        # Attachments may have to be fetched first.
        return accepted(hold(lambda: generation.get(begun(), who)))
    if wanted.stream:
        say = error_frames(found)
        writer = render.GenerationChunkWriter(wanted.model, signer(), include_usage=False)
        return event_stream(
            lambda: chunks(generation.follow(begun(), who, found), writer, say), say
        )

    def finish() -> dict[str, Any]:
        found.job = begun()
        name_job(stream=False)
        for _ in generation.follow(found.job, who, found):
            pass
        return _result(generation.get(found.job, who))

    return streamed_json(hold(finish))


def accepted(job: Job) -> Response:
    response = streamed_json(_job(job))
    response.status_code = 202
    response.headers["Retry-After"] = POLL_S
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    response.headers["Preference-Applied"] = "respond-async"
    return response


def streamed_json(document: dict[str, Any]) -> Answer:
    """JSON whose pictures, where there are any, are read from the store while they are sent."""
    body = jsonbody.encode(document)
    if isinstance(body, bytes):
        return Answer(body, headers=JSON)
    response = Answer(body.chunks(), headers=JSON, direct_passthrough=True)
    response.content_length = body.size
    return response
