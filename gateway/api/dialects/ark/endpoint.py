"""Ark's paths under /api/v3. The jobs behind its tasks are those of /v1/jobs and /v1/videos."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from gateway.api.context import RequestContext, current
from gateway.api.dialects.ark import renderer
from gateway.api.dialects.ark.errors import ARK, TaskIsRunning
from gateway.api.dialects.ark.schema import ImageSchema, TaskSchema
from gateway.api.dialects.serving import streamed
from gateway.api.endpoints import chat, embeddings, files, models
from gateway.api.http.body import json_body, load
from gateway.api.http.described import EVENTS, JSON, ONCE, described
from gateway.api.http.heartbeat import announce_job, kept_alive
from gateway.api.http.idempotency import answer_once
from gateway.api.http.responses import dry_run, json_response, json_with_media
from gateway.domain.embeddings import EmbeddingRequest
from gateway.domain.errors import Conflict, InvalidRequest, NotFound
from gateway.domain.jobs import Job
from gateway.domain.requests import ImageRequest, VideoRequest
from gateway.services.jobs.records import job_id_of, task_id_of

bp = Blueprint("ark", __name__)
_task = TaskSchema()
_image = ImageSchema()
_embedding = embeddings.EmbeddingSchema()
_TASKS = "/api/v3/contents/generations/tasks"
_MAX_PAGE = 500
_number = {"type": "integer", "minimum": 1, "maximum": _MAX_PAGE}
_words = {"type": "string"}
_FILTERS: dict[str, dict[str, Any]] = {
    "page_num": _number,
    "page_size": _number,
    "filter.status": _words,
    "filter.model": _words,
    "filter.task_ids": _words,
}


@bp.post(_TASKS)
@described(body=_task, headers=ONCE)
def create_task() -> ResponseReturnValue:
    """Start a video task."""
    context = current()
    document = json_body(context)
    wanted: VideoRequest = load(context, _task, document)
    if wanted.callback_url is not None:
        wanted = replace(wanted, callback_base=context.base)
    generation, caller, trace = context.services.generation, context.caller, context.trace
    if context.is_dry_run:
        return dry_run(context, generation.plan(wanted, caller, trace))
    context.may_be_paid = True

    def job_id(known: str | None) -> str:
        return known or generation.create(wanted, caller, trace).id

    return answer_once(
        context,
        document,
        lambda known: json_response({"id": task_id_of(kept_alive(context, lambda: job_id(known)))}),
    )


@bp.get(_TASKS)
@described(query=_FILTERS)
def list_tasks() -> ResponseReturnValue:
    """List your video tasks, the newest first."""
    context, args = current(), request.args
    number, size = _page_number("page_num", 1), _page_number("page_size", 20)
    status = args.get("filter.status")
    if status is not None and status not in renderer.STATUSES:
        names = ", ".join(renderer.STATUSES)
        raise InvalidRequest(f"filter.status must be one of {names}.", param="filter.status")
    jobs, total = context.services.generation.search(
        context.caller,
        kind="video",
        statuses=None if status is None else renderer.STATUSES[status],
        model=args.get("filter.model"),
        ids=[job_id_of(name) for name in args.getlist("filter.task_ids")] or None,
        offset=(number - 1) * size,
        limit=size,
    )
    items = [renderer.task_object(job, context.sign) for job in jobs]
    return json_response({"total": total, "items": items})


@bp.get(f"{_TASKS}/<task_id>")
def get_task(task_id: str) -> ResponseReturnValue:
    """Describe one video task."""
    context = current()
    return json_response(renderer.task_object(_job(context, task_id), context.sign))


@bp.delete(f"{_TASKS}/<task_id>")
def delete_task(task_id: str) -> ResponseReturnValue:
    """Cancel a queued video task, or delete one that has ended."""
    context = current()
    generation, job = context.services.generation, _job(context, task_id)
    if job.status == "cancelled":
        raise Conflict("The task is cancelled already.")
    if job.done:
        generation.delete(job.id, context.caller)
    elif job.status == "queued":
        generation.cancel(job.id, context.caller)
    else:
        raise TaskIsRunning
    return json_response({})


@bp.post("/api/v3/images/generations")
@described(body=_image, headers=ONCE, answers=(JSON, EVENTS))
def create_image() -> ResponseReturnValue:
    """Make images in the form of Ark's API."""
    context = current()
    document = json_body(context)
    wanted: ImageRequest = load(context, _image, document)
    generation, caller, trace = context.services.generation, context.caller, context.trace
    if context.is_dry_run:
        return dry_run(context, generation.plan(wanted, caller, trace))
    context.may_be_paid = True

    def created(known: str | None) -> str:
        return known or generation.create(wanted, caller, trace).id

    def whole(known: str | None) -> dict[str, Any]:
        trace.job = created(known)
        announce_job(context, stream=False)
        for _ in generation.follow(trace.job, caller, trace):
            pass
        job = generation.get(trace.job, caller)
        return renderer.images_object(job, context.sign, context.services.media.blob)

    if not wanted.stream:
        return answer_once(
            context,
            document,
            lambda known: json_with_media(kept_alive(context, lambda: whole(known))),
        )
    writer = renderer.ImageStream(wanted.model, context.sign, request_id=trace.request_id)
    return answer_once(
        context,
        document,
        lambda known: streamed(
            context, lambda: generation.follow(created(known), caller, trace), writer
        ),
        stream=True,
        heartbeat=ARK.heartbeat,
    )


@bp.post("/api/v3/embeddings/multimodal")
@described(body=_embedding, headers=("X-Gateway-Dry-Run",))
def create_multimodal_embedding() -> ResponseReturnValue:
    """Turn texts and media together into one vector."""
    context = current()
    document = json_body(context)
    wanted: EmbeddingRequest = load(context, _embedding, document)
    if len(wanted.inputs) != 1:
        raise InvalidRequest("input must be a list of parts, each with its type.", param="input")
    service = context.services.embeddings
    if context.is_dry_run:
        return dry_run(context, service.plan(wanted, context.caller, context.trace))
    found = kept_alive(context, lambda: service.embed(wanted, context.caller, context.trace))
    answer = renderer.multimodal_object(found, wanted.model)
    if document.get("encoding_format") == "base64":
        answer["data"]["embedding"] = embeddings.in_base64(answer["data"]["embedding"])
    return json_response(answer)


def _job(context: RequestContext, task_id: str) -> Job:
    job = context.services.generation.get(job_id_of(task_id), context.caller)
    if job.kind != "video":
        raise NotFound("There is no such task.")
    return job


def _page_number(name: str, default: int) -> int:
    given = request.args.get(name) or str(default)
    number = int(given) if given.isascii() and given.isdigit() and len(given) < 4 else 0
    if not 1 <= number <= _MAX_PAGE:
        raise InvalidRequest(f"{name} must be between 1 and {_MAX_PAGE}.", param=name)
    return number


# Ark's other paths are those of OpenAI's API.
bp.post("/api/v3/chat/completions", defaults={"dialect": ARK})(chat.create_completion)
bp.post("/api/v3/embeddings")(embeddings.create_embeddings)
bp.get("/api/v3/models")(models.list_models)
bp.get("/api/v3/models/<path:name>")(models.get_model)
bp.post("/api/v3/files")(files.upload)
bp.get("/api/v3/files")(files.list_files)
bp.get("/api/v3/files/<file_id>")(files.get_file)
bp.get("/api/v3/files/<file_id>/content")(files.get_content)
bp.delete("/api/v3/files/<file_id>")(files.delete_file)
