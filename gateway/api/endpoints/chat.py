"""POST /v1/chat/completions. https://platform.openai.com/docs/api-reference/chat/create"""

from __future__ import annotations

from typing import Any

from flask import Blueprint
from flask.typing import ResponseReturnValue

from gateway.api.app import ApiResponse
from gateway.api.context import RequestContext, current
from gateway.api.http.body import json_body, load
from gateway.api.http.described import EVENTS, JSON, ONCE, described
from gateway.api.http.heartbeat import announce_job, error_frames, event_stream, kept_alive
from gateway.api.http.idempotency import answer_once
from gateway.api.http.responses import dry_run, json_response
from gateway.api.renderers import chat as render
from gateway.api.schemas.chat import ChatRequestSchema
from gateway.domain.events import Events
from gateway.domain.requests import ChatRequest

bp = Blueprint("chat", __name__)
_schema = ChatRequestSchema()


@bp.post("/v1/chat/completions")
@described(body=_schema, headers=ONCE, answers=(JSON, EVENTS))
def create_completion() -> ResponseReturnValue:
    """Answer a conversation, as one object or as a stream of chunks."""
    context = current()
    document = json_body(context)
    chat: ChatRequest = load(context, _schema, document)
    if context.is_dry_run:
        plan = context.services.chat.plan(chat, context.caller, context.trace)
        return dry_run(context, plan)
    return answer_once(
        context, document, lambda job_id: _answer(context, chat, job_id), stream=chat.stream
    )


def _answer(context: RequestContext, chat: ChatRequest, job_id: str | None) -> ApiResponse:
    """The answer, from their job for models that make images or videos."""
    if chat.stream:
        error_frame = error_frames(context)
        writer = render.ChunkWriter(chat.model, context.sign, include_usage=chat.include_usage)
        return event_stream(
            context,
            lambda: render.chunks(_events(context, chat, job_id), writer, error_frame),
            error_frame,
        )
    media_format = chat.media_format or context.services.settings.chat_media

    def completion() -> dict[str, Any]:
        events = _events(context, chat, job_id)
        announce_job(context, stream=False)
        as_parts = media_format == "parts"
        return render.completion(events, chat.model, context.sign, as_parts=as_parts)

    return json_response(kept_alive(context, completion))


def _events(context: RequestContext, chat: ChatRequest, job_id: str | None) -> Events:
    services = context.services
    if job_id is not None:
        return services.generation.follow(job_id, context.caller, context.trace)
    return services.chat.stream(chat, context.caller, context.trace)
