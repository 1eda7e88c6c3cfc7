"""Flask-Limiter: limits of callers, and a limit on wrong keys per client address."""

from __future__ import annotations

import flask_limiter
from flask import Flask, Response
from flask_limiter import ApplicationLimit, Limiter, RequestLimit
from limits import RateLimitItem

from gateway.api.context import current
from gateway.api.http.errors import error_response
from gateway.domain.errors import RateLimitExceeded
from gateway.services.access.limits import WRONG_KEYS, CallerLimits, counter_key, format_s, network

_WRONG_KEYS_SCOPE = "wrong-keys"
_TOKEN_COUNTS = ("/count_tokens", "/input_tokens", ":countTokens")


def register(app: Flask, limits: CallerLimits) -> None:
    """Check the limits after the hooks registered so far, which find out who is calling."""
    callers = ApplicationLimit(
        limit_provider=lambda: limits.limit_of(current().caller),
        key_function=_counter_key,
        exempt_when=_is_free,
    )
    wrong_keys = ApplicationLimit(
        limit_provider=WRONG_KEYS,
        scope=_WRONG_KEYS_SCOPE,
        key_function=_network,
        exempt_when=lambda: not current().unknown_credential,
        deduct_when=lambda response: response.status_code == 401,
    )
    limiter = Limiter(
        _network,
        application_limits=[callers, wrong_keys],
        strategy=limits.strategy,
        storage_uri=limits.storage_uri,
        storage_options=limits.storage_options,
        in_memory_fallback_enabled=True,
        swallow_errors=True,
    )
    limiter.init_app(app)

    @app.before_request
    def refuse_unknown_callers() -> None:
        context = current()
        if context.refusal is not None:
            raise context.refusal
        if context.authenticated:
            context.limit_status = limits.status(limiter.limiter, _counted(limiter))

    @app.errorhandler(flask_limiter.RateLimitExceeded)
    def refuse(_: flask_limiter.RateLimitExceeded) -> Response:
        context = current()
        breached = next(limit for limit in limiter.current_limits if limit.breached)
        item, key = breached.limit, breached.request_args
        status = limits.status(limiter.limiter, [(item, key)])
        wait_s = float(item.get_expiry()) if status is None else status.reset_s
        if _is_wrong_keys(breached):
            message = "Too many wrong keys were sent from this address; try again later."
        else:
            context.limit_status = status
            message = f"The limit of {item} is reached; try again in {format_s(wait_s)}."
        return error_response(context, RateLimitExceeded(message, retry_after=max(1.0, wait_s)))


def _is_free() -> bool:
    """Tell that a request is not counted: it needs no credential, or estimates tokens only."""
    context = current()
    return not context.authenticated or context.path.endswith(_TOKEN_COUNTS)


def redis_is_away(app: Flask) -> bool:
    """Tell that this process counts for itself, because Redis does not answer."""
    (limiter,) = app.extensions["limiter"]
    return limiter.limiter.storage is not limiter.storage


def _counted(limiter: Limiter) -> list[tuple[RateLimitItem, list[str]]]:
    return [
        (limit.limit, limit.request_args)
        for limit in limiter.current_limits
        if not _is_wrong_keys(limit)
    ]


def _is_wrong_keys(limit: RequestLimit) -> bool:
    return limit.request_args[-1] == _WRONG_KEYS_SCOPE


def _counter_key() -> str:
    context = current()
    return counter_key(context.caller, context.client_address)


def _network() -> str:
    return network(current().client_address)
