"""POST /v1/messages and /v1/messages/count_tokens. https://docs.anthropic.com/en/api/messages"""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from gateway.api.context import current
from gateway.api.dialects.messages import renderer
from gateway.api.dialects.messages.schema import (
    CountTokensSchema,
    MessagesSchema,
    shows_thinking,
)
from gateway.api.dialects.serving import serve, vendor_of
from gateway.api.http.body import json_body, load
from gateway.api.http.described import EVENTS, JSON, ONCE, described
from gateway.api.http.responses import json_response
from gateway.domain.requests import ChatRequest
from gateway.domain.token_estimate import request_tokens

bp = Blueprint("messages", __name__)
_schema = MessagesSchema()
_count_schema = CountTokensSchema()


@bp.post("/v1/messages")
@described(body=_schema, headers=ONCE, answers=(JSON, EVENTS))
def create_message() -> ResponseReturnValue:
    """Answer a conversation in the form of Anthropic's Messages API."""
    context = current()
    document = json_body(context)
    chat: ChatRequest = load(context, _schema, document)
    sign, vendor, thinking = context.sign, vendor_of(context), shows_thinking(document)
    return serve(
        context,
        chat,
        document,
        whole=lambda events: renderer.message(events, chat.model, sign, vendor, thinking=thinking),
        writer=lambda: renderer.MessageStream(
            chat.model,
            sign,
            vendor,
            thinking=thinking,
            input_tokens=request_tokens(chat),
            request_id=context.trace.request_id,
        ),
    )


@bp.post("/v1/messages/count_tokens")
@described(body=_count_schema)
def count_tokens() -> ResponseReturnValue:
    """Estimate the tokens of a conversation; no vendor is asked."""
    context = current()
    chat: ChatRequest = load(context, _count_schema, json_body(context))
    context.services.catalog.find(chat.model, context.caller)
    return json_response({"input_tokens": request_tokens(chat)})
