"""Google's model methods. https://ai.google.dev/api/generate-content"""

from __future__ import annotations

from typing import Any

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from gateway.api.context import RequestContext, current
from gateway.api.dialects.gemini.embeddings import read_batch_request, read_embed_request
from gateway.api.dialects.gemini.members import member
from gateway.api.dialects.gemini.renderer import ContentStream, Forms, response
from gateway.api.dialects.gemini.schema import read_request, shows_thoughts, unknown_in
from gateway.api.dialects.reading import an_object
from gateway.api.dialects.serving import serve, vendor_of
from gateway.api.http.body import json_body
from gateway.api.http.described import EVENTS, ONCE, described
from gateway.api.http.described import JSON as JSON_TYPE
from gateway.api.http.heartbeat import kept_alive
from gateway.api.http.responses import EVENT_STREAM, JSON, json_response
from gateway.domain.embeddings import EmbeddingRequest
from gateway.domain.errors import NotFound
from gateway.domain.media import StoredMedia
from gateway.domain.token_estimate import request_tokens
from gateway.services.routing.catalog import Model

bp = Blueprint("google", __name__)
_METHODS = {
    "embedding": ["embedContent", "batchEmbedContents"],
    "chat": ["generateContent", "streamGenerateContent", "countTokens"],
    "image": ["generateContent", "streamGenerateContent"],
    "video": ["generateContent", "streamGenerateContent"],
}


@bp.post("/v1beta/models/<path:call>")
@bp.post("/v1/models/<path:call>")
@bp.post("/models/<path:call>")
@described(headers=ONCE, answers=(JSON_TYPE, EVENTS))
def call_model(call: str) -> ResponseReturnValue:
    """Call a method of a model, as `MODEL:generateContent`."""
    context = current()
    name, _, method = call.rpartition(":")
    match method:
        case "generateContent":
            return _generate(context, name, stream=False)
        case "streamGenerateContent":
            return _generate(context, name, stream=True)
        case "countTokens":
            return _count_tokens(context, name)
        case "embedContent":
            (vector,) = _embed(context, read_embed_request(json_body(context), name))
            return json_response({"embedding": vector})
        case "batchEmbedContents":
            vectors = _embed(context, read_batch_request(json_body(context), name))
            return json_response({"embeddings": vectors})
    raise NotFound(
        f"There is no method {method[:64]!r} here; there are generateContent, "
        "streamGenerateContent, countTokens, embedContent and batchEmbedContents."
    )


@bp.get("/v1beta/models")
def list_models() -> ResponseReturnValue:
    """List the models in Google's form."""
    services, caller = current().services, current().caller
    found = services.dispatcher.reachable(services.catalog, caller)
    return json_response({"models": [_model(model) for model in found]})


@bp.get("/v1beta/models/<path:name>")
def get_model(name: str) -> ResponseReturnValue:
    """Describe one model in Google's form."""
    services, caller = current().services, current().caller
    model = services.catalog.find(name, caller)
    services.dispatcher.routes(model, caller)
    return json_response(_model(model))


def _generate(context: RequestContext, name: str, *, stream: bool) -> ResponseReturnValue:
    document = json_body(context)
    context.trace.unknown = unknown_in(document)
    chat = read_request(document, name, stream=stream)
    media = context.services.media

    def read(stored: StoredMedia) -> str:
        return b"".join(media.blob(stored).base64()).decode()

    forms = Forms(context.sign, read, vendor_of(context), shows_thoughts(document))
    events = request.args.get("alt") == "sse"
    return serve(
        context,
        chat,
        {"stream": stream, **document},
        whole=lambda batches: response(batches, name, forms),
        writer=lambda: ContentStream(name, forms, events=events),
        stream_headers=EVENT_STREAM if events else JSON,
    )


def _embed(context: RequestContext, wanted: EmbeddingRequest) -> list[dict[str, list[float]]]:
    service = context.services.embeddings
    found = kept_alive(context, lambda: service.embed(wanted, context.caller, context.trace))
    return [{"values": vector} for vector in found.vectors]


def _count_tokens(context: RequestContext, name: str) -> ResponseReturnValue:
    """An estimate: vendors differ in their tokens, and most have no way to ask."""
    document = json_body(context)
    inner = member(document, "generateContentRequest")
    chat = read_request(
        document if inner is None else an_object(inner, "generateContentRequest"), name
    )
    context.services.catalog.find(name, context.caller)
    return json_response({"totalTokens": request_tokens(chat)})


def _model(model: Model) -> dict[str, Any]:
    return {
        "name": f"models/{model.name}",
        "baseModelId": model.name,
        "version": "1",
        "displayName": model.name,
        "supportedGenerationMethods": _METHODS.get(model.kind, []),
    }
