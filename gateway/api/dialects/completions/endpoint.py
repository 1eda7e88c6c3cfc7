"""POST /v1/completions. https://platform.openai.com/docs/api-reference/completions/create"""

from __future__ import annotations

from contextlib import closing

from flask import Blueprint
from flask.typing import ResponseReturnValue

from gateway.api.context import RequestContext, current
from gateway.api.dialects.completions.renderer import CompletionStream, completion
from gateway.api.dialects.completions.schema import CompletionRequest, CompletionSchema
from gateway.api.dialects.serving import serve
from gateway.api.http.body import json_body, load
from gateway.api.http.described import EVENTS, JSON, ONCE, described
from gateway.domain.events import Events, Usage

bp = Blueprint("completions", __name__)
_schema = CompletionSchema()


@bp.post("/v1/completions")
@described(body=_schema, headers=ONCE, answers=(JSON, EVENTS))
def create_text_completion() -> ResponseReturnValue:
    """Continue a text, or several."""
    context = current()
    document = json_body(context)
    wanted: CompletionRequest = load(context, _schema, document)
    sign = context.sign
    return serve(
        context,
        wanted.chats[0],
        document,
        whole=lambda events: completion(events, wanted, sign),
        writer=lambda: CompletionStream(wanted, sign),
        events=(lambda: _events(context, wanted)) if len(wanted.chats) > 1 else None,
    )


def _events(context: RequestContext, wanted: CompletionRequest) -> Events:
    """The answers to all prompts, one after the other; their usage is counted together."""
    total, chat = Usage(), context.services.chat
    for number, request in enumerate(wanted.chats):
        with closing(chat.stream(request, context.caller, context.trace)) as batches:
            for batch in batches:
                for event in batch:
                    if isinstance(event, Usage):
                        total.add(event)
                    elif hasattr(event, "choice"):
                        event.choice += number * wanted.choices
                yield [event for event in batch if not isinstance(event, Usage)]
    context.trace.usage = total
    yield [total]
