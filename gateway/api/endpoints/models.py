"""GET /v1/models, one body for the SDKs of OpenAI, Anthropic and Google.

https://platform.openai.com/docs/api-reference/models, https://docs.anthropic.com/en/api/models
and https://ai.google.dev/api/models
"""

from __future__ import annotations

from typing import Any

from flask import Blueprint
from flask.typing import ResponseReturnValue

from gateway.api.context import current
from gateway.api.http.responses import json_response
from gateway.services.routing.catalog import Model, Route

bp = Blueprint("models", __name__)
_CREATED = {"created": 1735689600, "created_at": "2025-01-01T00:00:00Z"}
_GOOGLE_METHODS = {
    "chat": ["generateContent", "streamGenerateContent", "countTokens"],
    "embedding": ["embedContent", "batchEmbedContents"],
}


@bp.get("/v1/models")
def list_models() -> ResponseReturnValue:
    """List the models you can use."""
    context = current()
    services = context.services
    models = services.dispatcher.reachable(services.catalog, context.caller)
    data = [_render(model) for model in models]
    return json_response(
        {
            "object": "list",
            "data": data,
            "first_id": data[0]["id"] if data else None,
            "last_id": data[-1]["id"] if data else None,
            "has_more": False,
            "models": [google_model(model) for model in models],
        }
    )


@bp.get("/v1/models/<path:name>")
def get_model(name: str) -> ResponseReturnValue:
    """Describe one model."""
    context = current()
    services = context.services
    model = services.catalog.find(name, context.caller)
    route = services.dispatcher.routes(model, context.caller)[0]
    response = json_response(google_model(model) | _render(model) | _facts(model, route))
    if route.upstream.facts(route.model) is None:
        response.headers["X-Gateway-Model-Known"] = "no"
    return response


def _facts(model: Model, route: Route) -> dict[str, Any]:
    """What is known of the model that serves the first of the caller's routes.

    The dates are those of the model that is configured, whose successor may serve already.
    """
    facts = route.upstream.facts(route.model)
    named = model.routes[0].upstream.facts(model.routes[0].model)
    return {
        "capabilities": facts.capabilities() if facts is not None else None,
        "shutdown_date": named.shutdown.isoformat() if named and named.shutdown else None,
        "successor": named.successor if named is not None else None,
        "served_by": route.model,
    }


def google_model(model: Model) -> dict[str, Any]:
    return {
        "name": f"models/{model.name}",
        "displayName": model.name,
        "supportedGenerationMethods": _GOOGLE_METHODS.get(model.kind, []),
    }


def _render(model: Model) -> dict[str, Any]:
    upstreams = list(dict.fromkeys(route.upstream.name for route in model.routes))
    return {
        "id": model.name,
        "object": "model",
        "type": "model",
        "display_name": model.name,
        "owned_by": upstreams[0],
        "kind": model.kind,
        "upstreams": upstreams,
        **_CREATED,
    }
