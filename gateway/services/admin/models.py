"""Models as operators see them: routes, facts and prices."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from gateway.services.money.prices import PriceTable
from gateway.services.routing.catalog import Catalog, Model, Route


class ModelViews:
    def __init__(self, catalog: Catalog, prices: PriceTable) -> None:
        self._catalog = catalog
        self._prices = prices

    def rows(self) -> list[dict[str, Any]]:
        return [self._row(model) for model in self._catalog]

    def _row(self, model: Model) -> dict[str, Any]:
        return {
            "id": model.name,
            "kind": model.kind,
            "routes": [self._route(route) for route in model.routes],
        }

    def _route(self, route: Route) -> dict[str, Any]:
        price = self._prices.find(route.upstream.name, route.model)
        facts = route.upstream.facts(route.model)
        return {
            "upstream": route.upstream.name,
            "model": route.model,
            "known": facts is not None,
            "shutdown_date": facts.shutdown.isoformat() if facts and facts.shutdown else None,
            "successor": facts.successor if facts else None,
            "price": _shown(asdict(price)) if price is not None else None,
        }


def _shown(price: dict[str, Any]) -> dict[str, Any]:
    found = {name: value for name, value in price.items() if value not in (None, "")}
    if "checked" in found:
        found["checked"] = found["checked"].isoformat()
    return found
