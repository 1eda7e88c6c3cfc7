"""Limits of callers, and Flask-Limiter's limit on wrong keys per client address.

Limits of callers are counted without Flask-Limiter's hooks, whose search for the limits that
apply costs more than the rest of a request's hooks together (`python -m bench.choices`).
"""

from __future__ import annotations

import flask_limiter
from flask import Flask, Response
from flask_limiter import ApplicationLimit, Limiter

from gateway.api.context import RequestContext, current
from gateway.api.http.errors import error_response
from gateway.domain.errors import RateLimitExceeded
from gateway.services.access.limits import WRONG_KEYS, CallerLimits, network

_TOKEN_COUNTS = ("/count_tokens", "/input_tokens", ":countTokens")  # estimated here, not counted


def register(app: Flask, limits: CallerLimits) -> None:
    """Check the limits after the hooks registered so far, which find out who is calling."""
    wrong_keys = ApplicationLimit(
        limit_provider=WRONG_KEYS,
        scope="wrong-keys",
        deduct_when=lambda response: response.status_code == 401,
    )
    limiter = Limiter(
        lambda: network(current().client_address),
        application_limits=[wrong_keys],
        strategy=limits.strategy,
        storage_uri=limits.storage_uri,
        storage_options=limits.storage_options,
        in_memory_fallback_enabled=True,
        swallow_errors=True,
    )
    limiter.request_filter(lambda: not current().unknown_credential)
    limiter.init_app(app)

    @app.before_request
    def check_limits() -> None:
        context = current()
        if context.refusal is not None:
            raise context.refusal
        if context.authenticated and not context.path.endswith(_TOKEN_COUNTS):
            check(context, limits)

    @app.errorhandler(flask_limiter.RateLimitExceeded)
    def refuse(_: flask_limiter.RateLimitExceeded) -> Response:
        message = "Too many wrong keys were sent from this address; try again later."
        limit = limiter.current_limits[0]
        wait_s = limits.wait_s(limiter.limiter, limit.limit, limit.request_args)
        return error_response(current(), RateLimitExceeded(message, retry_after=wait_s))


def check(context: RequestContext, limits: CallerLimits) -> None:
    """Count the call. Raises RateLimitExceeded."""
    context.limit_status, refusal = limits.take(context.caller, context.client_address)
    if refusal is not None:
        raise refusal
    key = context.caller.key
    if key is not None and key.max_in_flight is not None:
        slot = context.caller.owner
        if context.services.key_slots.acquire(slot, key.max_in_flight) is not None:
            raise RateLimitExceeded(
                f"{key.max_in_flight} requests of this key are under way, as many as it may have.",
                retry_after=1.0,
            )
        context.slot = slot
