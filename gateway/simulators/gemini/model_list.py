"""models.list and models.get. https://ai.google.dev/api/models"""

from __future__ import annotations

from typing import Any

from flask import Response

from gateway.simulators.gemini.errors import model_not_found, model_retired
from gateway.simulators.gemini.models import MODELS, find, is_retired
from gateway.simulators.gemini.protocol import VERSION, bp, open_call
from gateway.simulators.google.http import check_query, google_json, not_routed, page, page_size


@bp.get(f"/{VERSION}/models")
def list_models(version: str) -> Response:
    """List the models of a version."""
    open_call("models.list")
    check_query("pageSize", "pageToken")
    models = [model for model in MODELS.values() if find(model.id, version)]
    shown, next_token = page(models, page_size("pageSize", 50, 1000))
    answer: dict[str, Any] = {"models": [model.view() for model in shown]}
    if next_token:
        answer["nextPageToken"] = next_token
    return google_json(answer)


@bp.get(f"/{VERSION}/models/<model_id>")
def get_model(version: str, model_id: str) -> Response:
    """Show one model."""
    open_call("models.get")
    check_query()
    if is_retired(model_id):
        raise model_retired(model_id)
    model = find(model_id, version)
    if model is None:
        raise model_not_found(model_id, version, "getModel")
    return google_json(model.view())


@bp.get(f"/{VERSION}/models/<model_id>:<method>")
def unknown_method(version: str, model_id: str, method: str) -> Response:
    """Refuse method names that are not routed."""
    return not_routed()
