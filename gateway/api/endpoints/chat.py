"""POST /v1/chat/completions. https://platform.openai.com/docs/api-reference/chat/create"""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from gateway.api.context import current
from gateway.api.dialects.base import OPENAI, Dialect
from gateway.api.dialects.serving import serve
from gateway.api.http.body import json_body, load
from gateway.api.http.described import EVENTS, JSON, ONCE, described
from gateway.api.renderers.chat import completion
from gateway.api.renderers.chat_stream import ChunkWriter
from gateway.api.schemas.chat import ChatRequestSchema
from gateway.domain.requests import ChatRequest

bp = Blueprint("chat", __name__)
_schema = ChatRequestSchema()


@bp.post("/v1/chat/completions")
@described(body=_schema, headers=ONCE, answers=(JSON, EVENTS))
def create_completion(dialect: Dialect = OPENAI) -> ResponseReturnValue:
    """Answer a conversation, as one object or as a stream of chunks."""
    context = current()
    document = json_body(context)
    chat: ChatRequest = load(context, _schema, document)
    model, sign = chat.model, context.sign
    as_parts = (chat.media_format or context.services.settings.chat_media) == "parts"
    return serve(
        context,
        chat,
        document,
        whole=lambda events: completion(events, model, sign, as_parts=as_parts),
        writer=lambda: ChunkWriter(
            model,
            sign,
            include_usage=chat.include_usage,
            dialect=dialect,
            request_id=context.trace.request_id,
        ),
    )
