"""Health, readiness and metrics of the process."""

from __future__ import annotations

from collections.abc import Callable

from flask import Blueprint, Response, redirect, request
from flask.typing import ResponseReturnValue

from gateway.api.context import current
from gateway.api.http.described import BYTES, described
from gateway.api.http.responses import json_response
from gateway.domain.errors import GatewayError, NotFound
from gateway.domain.version import VERSION
from gateway.services import Services
from gateway.services.observability.metrics import CONTENT_TYPE

bp = Blueprint("ops", __name__)


@bp.get("/")
def index() -> ResponseReturnValue:
    """Name the program and its documentation; a browser is sent to the console."""
    if "text/html" in request.headers.get("Accept", ""):
        return redirect("/console")
    return json_response(
        {
            "object": "gateway",
            "demo": current().services.settings.demo,
            "docs": "/docs",
        }
    )


@bp.get("/health")
def health() -> ResponseReturnValue:
    """Confirm that the process runs."""
    return json_response({"status": "ok", "version": VERSION})


@bp.get("/ready")
def ready() -> ResponseReturnValue:
    """Check that the stores answer and an account is usable, else 503 with the failed check."""
    services = current().services
    checks = {
        "database": _check(services.database.ping),
        "media": _check(services.media.ping),
        "accounts": "ok" if _has_account(services) else "no usable account",
    }
    if all(state == "ok" for state in checks.values()):
        return json_response({"status": "ok", **checks})
    return json_response({"status": "unavailable", **checks}, 503)


@bp.get("/metrics")
@described(answers=(BYTES,))
def metrics() -> ResponseReturnValue:
    """Export metrics in Prometheus' format."""
    services = current().services
    if not services.settings.metrics:
        raise NotFound("Metrics are switched off.")
    response = Response(services.metrics.render(services.shared_state), content_type=CONTENT_TYPE)
    response.headers["Cache-Control"] = "no-store"
    return response


def _has_account(services: Services) -> bool:
    pool = services.pool
    return pool.usable() or (pool.empty and services.settings.own_credentials)


def _check(ping: Callable[[], object]) -> str:
    try:
        ping()
    except GatewayError as err:
        return err.message
    return "ok"
