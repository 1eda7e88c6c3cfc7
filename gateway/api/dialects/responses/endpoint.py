"""/v1/responses. https://platform.openai.com/docs/api-reference/responses"""

from __future__ import annotations

import time
from typing import Any

from flask import Blueprint
from flask.typing import ResponseReturnValue

from gateway.api.context import RequestContext, current
from gateway.api.dialects.responses.items import as_sent
from gateway.api.dialects.responses.objects import Identity, response_id_of
from gateway.api.dialects.responses.renderer import ResponseStream, response
from gateway.api.dialects.responses.schema import ResponseRequest, ResponsesSchema
from gateway.api.dialects.serving import serve, vendor_of
from gateway.api.http.body import json_body, load
from gateway.api.http.described import EVENTS, JSON, ONCE, described, page_query
from gateway.api.http.pagination import page_response, requested_page
from gateway.api.http.responses import json_response
from gateway.domain.errors import InvalidRequest
from gateway.domain.requests import ChatRequest
from gateway.domain.token_estimate import request_tokens
from gateway.services.responses import Conversation

bp = Blueprint("responses", __name__)
_schema = ResponsesSchema()


class UpgradeRequired(InvalidRequest):
    """Tells clients that speak over a WebSocket to send a POST instead."""

    status, code = 426, "upgrade_required"


@bp.post("/v1/responses")
@described(body=_schema, headers=ONCE, answers=(JSON, EVENTS))
def create_response() -> ResponseReturnValue:
    """Answer a conversation in the form of OpenAI's Responses API."""
    context = current()
    document = json_body(context)
    wanted: ResponseRequest = load(context, _schema, document)
    chat, before = _conversation(context, wanted)
    stored, owner = context.services.responses, context.caller.owner
    # Before the answer: the bytes of its attachments are gone with it.
    items = as_sent(wanted.items) if wanted.store else []

    def keep(made: dict[str, Any]) -> None:
        if wanted.store:
            stored.save(owner, made, items, before)

    parts = (wanted, Identity.new(time.time()), context.sign, vendor_of(context), keep)
    return serve(
        context,
        chat,
        document,
        whole=lambda events: response(events, *parts),
        writer=lambda: ResponseStream(*parts),
    )


@bp.post("/v1/responses/input_tokens")
@described(body=_schema)
def count_input_tokens() -> ResponseReturnValue:
    """Estimate the tokens of a request; no vendor is asked."""
    context = current()
    chat, _ = _conversation(context, load(context, _schema, json_body(context)))
    context.services.catalog.find(chat.model, context.caller)
    return json_response({"object": "response.input_tokens", "input_tokens": request_tokens(chat)})


def refuse_websocket() -> ResponseReturnValue:
    """Refuse a WebSocket, so that clients fall back to a POST at once."""
    raise UpgradeRequired("There is no WebSocket here; send a POST and read the event stream.")


bp.add_url_rule("/v1/responses", view_func=refuse_websocket, websocket=True)


@bp.get("/v1/responses/<response_id>")
def get_response(response_id: str) -> ResponseReturnValue:
    """Return a stored response."""
    context = current()
    return json_response(context.services.responses.get(context.caller.owner, response_id).response)


@bp.delete("/v1/responses/<response_id>")
def delete_response(response_id: str) -> ResponseReturnValue:
    """Delete a stored response."""
    context = current()
    context.services.responses.delete(context.caller.owner, response_id)
    return json_response({"id": response_id, "object": "response", "deleted": True})


@bp.get("/v1/responses/<response_id>/input_items")
@described(query=page_query(100))
def list_input_items(response_id: str) -> ResponseReturnValue:
    """List the items of the request and of what it continues, the newest first."""
    context = current()
    page = requested_page(default=20, maximum=100)
    owner, stored = context.caller.owner, context.services.responses
    own = stored.get(owner, response_id)
    items = stored.conversation(owner, own.previous_id).items + own.input
    data = [{"id": f"item_{place}", **item} for place, item in enumerate(items)]
    if page.order == "desc":
        data.reverse()
    ids = [item["id"] for item in data]
    start = ids.index(page.after) + 1 if page.after in ids else 0
    return page_response(data[start : start + page.limit], more=len(data) > start + page.limit)


def _conversation(
    context: RequestContext, wanted: ResponseRequest
) -> tuple[ChatRequest, Conversation]:
    """The request as a chat, with the conversation that it continues."""
    stored, owner = context.services.responses, context.caller.owner
    before = stored.conversation(owner, wanted.previous_id)
    _resolve_references(context, wanted.items)
    return wanted.chat(before.items), before


def _resolve_references(context: RequestContext, items: list[dict[str, Any]]) -> None:
    """Put stored items in the place of references to them."""
    places = [place for place, item in enumerate(items) if item.get("type") == "item_reference"]
    if not places:
        return
    ids = {place: str(items[place].get("id")) for place in places}
    responses = [found for id_ in ids.values() if (found := response_id_of(id_)) is not None]
    known = context.services.responses.items(context.caller.owner, responses)
    for place in places:
        if ids[place] not in known:
            raise InvalidRequest(
                f"The item {ids[place][:64]!r} is not stored here; send it whole.",
                param=f"input[{place}].id",
                code="item_not_found",
            )
        items[place] = known[ids[place]]
