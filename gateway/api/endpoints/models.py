"""GET /v1/models. https://platform.openai.com/docs/api-reference/models"""

from __future__ import annotations

from typing import Any

from flask import Blueprint
from flask.typing import ResponseReturnValue

from gateway.api.context import current
from gateway.api.http.responses import json_response
from gateway.services.routing.catalog import Model

bp = Blueprint("models", __name__)


@bp.get("/v1/models")
def list_models() -> ResponseReturnValue:
    """List the models you can use."""
    context = current()
    services = context.services
    models = services.dispatcher.reachable(services.catalog, context.caller)
    return json_response({"object": "list", "data": [_render(model) for model in models]})


@bp.get("/v1/models/<path:name>")
def get_model(name: str) -> ResponseReturnValue:
    """Describe one model."""
    context = current()
    services = context.services
    model = services.catalog.find(name, context.caller)
    services.dispatcher.routes(model, context.caller)
    return json_response(_render(model))


def _render(model: Model) -> dict[str, Any]:
    upstreams = list(dict.fromkeys(route.upstream.name for route in model.routes))
    return {
        "id": model.name,
        "object": "model",
        "created": 1735689600,
        "owned_by": upstreams[0],
        "kind": model.kind,
        "upstreams": upstreams,
    }
