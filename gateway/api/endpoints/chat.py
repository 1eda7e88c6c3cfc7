"""POST /v1/chat/completions. https://platform.openai.com/docs/api-reference/chat/create"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response
from flask.typing import ResponseReturnValue

from gateway.api.context import services, trace
from gateway.api.hooks.auth import caller
from gateway.api.hooks.response_headers import dry_run, error_frames, signer, wants_plan
from gateway.api.http.body import json_body, json_response, load
from gateway.api.http.heartbeat import event_stream, hold, name_job
from gateway.api.http.idempotency import once
from gateway.api.renderers import chat as render
from gateway.api.schemas.chat import ChatRequestSchema
from gateway.domain.events import Events
from gateway.domain.requests import ChatRequest

bp = Blueprint("chat", __name__)
_schema = ChatRequestSchema()


@bp.post("/v1/chat/completions")
def create_completion() -> ResponseReturnValue:
    document = json_body()
    chat: ChatRequest = load(_schema, document)
    if wants_plan():
        return dry_run(services().chat.plan(chat, caller(), trace()))
    return once(document, lambda job_id: _answer(chat, job_id), stream=chat.stream)


def _answer(chat: ChatRequest, job_id: str | None) -> Response:
    """The answer, for models that make pictures or videos from their job."""
    found = services()

    def batches() -> Events:
        if job_id is not None:
            return found.generation.follow(job_id, caller(), trace())
        return found.chat.stream(chat, caller(), trace())

    if chat.stream:
        say = error_frames(trace())
        writer = render.ChunkWriter(chat.model, signer(), include_usage=chat.include_usage)
        return event_stream(lambda: render.chunks(batches(), writer, say), say)
    shape = chat.media_format or found.settings.chat_media

    def completion() -> dict[str, Any]:
        begun = batches()
        name_job(stream=False)
        return render.completion(begun, chat.model, signer(), as_parts=shape == "parts")

    return json_response(hold(completion))
