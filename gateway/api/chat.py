"""POST /v1/chat/completions. https://platform.openai.com/docs/api-reference/chat/create"""

from __future__ import annotations

from typing import Any

from flask import Blueprint
from flask.typing import ResponseReturnValue

from gateway.api.answers import dry_run, last_words, signer, wants_plan
from gateway.api.auth import caller
from gateway.api.render import chat as render
from gateway.api.schemas.chat import ChatRequestSchema
from gateway.api.wire import event_stream, hold, json_response, load, services, trace
from gateway.domain.requests import ChatRequest

bp = Blueprint("chat", __name__)
_schema = ChatRequestSchema()


@bp.post("/v1/chat/completions")
def create_completion() -> ResponseReturnValue:
    chat: ChatRequest = load(_schema)
    service = services().chat
    if wants_plan():
        return dry_run(service.plan(chat, caller(), trace()))
    if chat.stream:
        say = last_words(trace())
        frames = render.chunks(
            service.stream(chat, caller(), trace()),
            chat.model,
            signer(),
            include_usage=chat.include_usage,
            last_words=say,
        )
        return event_stream(frames, say)

    def answer() -> dict[str, Any]:
        shape = chat.media_format or services().settings.chat_media
        batches = service.stream(chat, caller(), trace())
        return render.completion(batches, chat.model, signer(), as_parts=shape == "parts")

    return json_response(hold(answer))
