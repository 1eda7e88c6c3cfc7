"""Routes whose models can make an image as it is asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from gateway.domain.errors import InvalidRequest
from gateway.domain.requests import ImageRequest
from gateway.services.routing.catalog import Model, Route
from gateway.upstreams.base import image_upstream


def able_routes(routes: Sequence[Route], request: ImageRequest) -> tuple[Route, ...]:
    """Those of the routes that can; raises the first one's InvalidRequest where none can."""
    found: list[Route] = []
    refusal: InvalidRequest | None = None
    for route in routes:
        try:
            image_upstream(route.upstream).check_image(replace(request, model=route.model))
        except InvalidRequest as err:
            refusal = refusal or err
        else:
            found.append(route)
    if not found and refusal is not None:
        raise refusal
    return tuple(found)


def name_able_models(
    refusal: InvalidRequest, models: Iterable[Model], request: ImageRequest
) -> None:
    """Add to a refusal the names of the models that can."""
    names = [model.name for model in models if model.kind == "image" and _able(model, request)]
    if names:
        refusal.message = f"{refusal.message.rstrip('.')}. Models that can: {', '.join(names)}."


def _able(model: Model, request: ImageRequest) -> bool:
    try:
        return bool(able_routes(model.routes, request))
    except InvalidRequest:
        return False
