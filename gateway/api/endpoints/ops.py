"""Is the process up, can it serve, what may be called."""

from __future__ import annotations

from flask import Blueprint, Response
from flask.typing import ResponseReturnValue

from gateway.api.context import services
from gateway.api.http.body import json_response
from gateway.domain.errors import GatewayError, NotFound
from gateway.services.observability.exposition import CONTENT_TYPE

bp = Blueprint("ops", __name__)


@bp.get("/")
def index() -> ResponseReturnValue:
    return json_response(
        {
            "object": "gateway",
            "demo": services().settings.demo,
            "docs": "/docs",
        }
    )


@bp.get("/health")
def health() -> ResponseReturnValue:
    return json_response({"status": "ok"})


@bp.get("/ready")
def ready() -> ResponseReturnValue:
    """200 when the store answers and an account is usable, else 503 with what is missing."""
    checks = {"database": _check(services().database.ping), "media": _check(services().media.ping)}
    checks["accounts"] = "ok" if _servable() else "no usable account"
    fine = all(state == "ok" for state in checks.values())
    return json_response(
        {"status": "ok" if fine else "unavailable", **checks}, 200 if fine else 503
    )


@bp.get("/metrics")
def metrics() -> ResponseReturnValue:
    if not services().settings.metrics:
        raise NotFound("Metrics are switched off.")
    response = Response(services().exposition.render(), content_type=CONTENT_TYPE)
    response.headers["Cache-Control"] = "no-store"
    return response


def _servable() -> bool:
    found = services()
    return found.pool.usable() or (found.pool.empty and found.settings.own_credentials)


def _check(ping: object) -> str:
    assert callable(ping)
    try:
        ping()
    except GatewayError as err:
        return err.message
    return "ok"
