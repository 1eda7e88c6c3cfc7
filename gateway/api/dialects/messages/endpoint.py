"""POST /v1/messages and /v1/messages/count_tokens. https://docs.anthropic.com/en/api/messages"""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from gateway.api.context import services, trace
from gateway.api.dialects.messages import renderer
from gateway.api.dialects.messages.errors import MESSAGES
from gateway.api.dialects.messages.schema import (
    CountTokensSchema,
    MessagesSchema,
    shows_thinking,
)
from gateway.api.dialects.serving import serve, vendor_of
from gateway.api.hooks.auth import caller
from gateway.api.hooks.response_headers import signer
from gateway.api.http.body import json_body, json_response, load
from gateway.domain.requests import ChatRequest
from gateway.domain.token_estimate import request_tokens

bp = Blueprint("messages", __name__)
_schema = MessagesSchema()
_count_schema = CountTokensSchema()


@bp.post("/v1/messages")
def create_message() -> ResponseReturnValue:
    document = json_body()
    chat: ChatRequest = load(_schema, document)
    sign, vendor = signer(), vendor_of(trace())
    thinking = shows_thinking(document)
    return serve(
        chat,
        document,
        MESSAGES,
        whole=lambda events: renderer.message(events, chat.model, sign, vendor, thinking=thinking),
        writer=lambda: renderer.MessageStream(chat.model, sign, vendor, thinking=thinking),
    )


@bp.post("/v1/messages/count_tokens")
def count_tokens() -> ResponseReturnValue:
    """An estimate: vendors differ in their tokens, and most have no way to ask."""
    chat: ChatRequest = load(_count_schema, json_body())
    services().catalog.find(chat.model, caller())
    return json_response({"input_tokens": request_tokens(chat)})
