"""Pictures, videos and the jobs behind them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import orjson
from flask import Blueprint, Response, g, request
from flask.typing import ResponseReturnValue

from gateway.api.answers import dry_run, last_words, signer, wants_plan
from gateway.api.auth import caller
from gateway.api.forms import pictures_in, read_form
from gateway.api.render import generations as render
from gateway.api.schemas.images import ImageEditSchema, ImageRequestSchema
from gateway.api.schemas.videos import VideoRequestSchema
from gateway.api.wire import event_stream, hold, json_body, json_response, services, trace
from gateway.domain.errors import InvalidRequest
from gateway.domain.jobs import Job
from gateway.domain.requests import ImageRequest, VideoRequest
from gateway.net import jsonbody

bp = Blueprint("generations", __name__)
_image = ImageRequestSchema()
_edit = ImageEditSchema()
_video = VideoRequestSchema()


@bp.post("/v1/images/generations")
def create_image() -> ResponseReturnValue:
    document = json_body()
    return _generate(_image.load(document), document)


@bp.post("/v1/images/edits")
def edit_image() -> ResponseReturnValue:
    """As OpenAI's SDKs send it: multipart, `image` or `image[]`."""
    values = pictures_in(read_form(), "image", "mask")
    return _generate(_edit.load(values), values)


@bp.post("/v1/video/generations")
def create_video() -> ResponseReturnValue:
    document = json_body()
    return _generate(_video.load(document), document)


@bp.get("/v1/jobs")
def list_jobs() -> ResponseReturnValue:
    limit = request.args.get("limit", 20, type=int)
    if not 1 <= limit <= 100:
        raise InvalidRequest("limit must be between 1 and 100.", param="limit")
    order = request.args.get("order", "desc")
    if order not in ("asc", "desc"):
        raise InvalidRequest("order must be asc or desc.", param="order")
    found, more = services().generation.page(
        caller(), after=request.args.get("after"), limit=limit, order=order
    )
    data = [job_view(job) | {"result": None} for job in found]
    return json_response(
        {
            "object": "list",
            "data": data,
            "first_id": data[0]["id"] if data else None,
            "last_id": data[-1]["id"] if data else None,
            "has_more": more,
        }
    )


@bp.get("/v1/jobs/<job_id>")
def get_job(job_id: str) -> ResponseReturnValue:
    return streamed_json(job_view(services().generation.get(job_id, caller())))


@bp.delete("/v1/jobs/<job_id>")
def cancel_job(job_id: str) -> ResponseReturnValue:
    return json_response(job_view(services().generation.cancel(job_id, caller())))


def job_view(job: Job) -> dict[str, Any]:
    return render.job_object(job, signer(), services().media.blob)


def _generate(
    wanted: ImageRequest | VideoRequest, document: Mapping[str, Any]
) -> ResponseReturnValue:
    generation, who, found = services().generation, caller(), trace()
    if wants_plan():
        return dry_run(generation.plan(wanted, who, found))
    g.paid = True
    job = generation.create(wanted, who, found, fingerprint=fingerprint_of(document))
    if wanted.asynchronous or "respond-async" in request.headers.get("Prefer", ""):
        return accepted(job)
    if wanted.stream:
        say = last_words(found)
        batches = generation.follow(job.id, who, found)
        return event_stream(render.chunks(batches, wanted.model, signer(), say), say)

    def finish() -> dict[str, Any]:
        for _ in generation.follow(job.id, who, found):
            pass
        return render.result(generation.get(job.id, who), signer(), services().media.blob)

    return streamed_json(hold(finish))


def fingerprint_of(document: Mapping[str, Any]) -> str:
    """What makes two requests the same: path and body, uploaded pictures by their digest."""
    text = orjson.dumps([request.path, document], option=orjson.OPT_SORT_KEYS, default=repr)
    return hashlib.sha256(text).hexdigest()


def accepted(job: Job) -> Response:
    response = json_response(job_view(job), 202)
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    response.headers["Preference-Applied"] = "respond-async"
    return response


def streamed_json(document: dict[str, Any]) -> Response:
    """JSON whose pictures, where there are any, are read from the store while they are sent."""
    body = jsonbody.encode(document)
    if isinstance(body, bytes):
        response = Response(body, content_type="application/json")
    else:
        response = Response(body.chunks(), content_type="application/json", direct_passthrough=True)
        response.content_length = body.size
    response.headers["Cache-Control"] = "no-store"
    return response
