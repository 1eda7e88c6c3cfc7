"""Flask-Limiter: limits of callers, and a limit on wrong keys per client address.

Most calls are counted by the extension's strategy and storage directly (`_count`): its own hook
looks up its limits anew for each request, in about 300 function calls (`python -m bench.calls`).
"""

from __future__ import annotations

from functools import lru_cache

import flask_limiter
from flask import Flask, Response
from flask_limiter import ApplicationLimit, Limiter, RequestLimit
from limits import RateLimitItem, parse_many

from gateway.api.context import RequestContext, current
from gateway.api.http.errors import error_response
from gateway.domain.errors import RateLimitExceeded
from gateway.services.access.limits import (
    WRONG_KEYS,
    CallerLimits,
    LimitStatus,
    counter_key,
    format_s,
    network,
)

_WRONG_KEYS_SCOPE = "wrong-keys"
_TOKEN_COUNTS = ("/count_tokens", "/input_tokens", ":countTokens")
_CALLS_SCOPE = "calls"
_parsed = lru_cache(maxsize=1024)(parse_many)


def register(app: Flask, limits: CallerLimits) -> None:
    """Check the limits after the hooks registered so far, which find out who is calling."""
    callers = ApplicationLimit(
        scope=_CALLS_SCOPE,
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

    @app.before_request
    def count() -> None:
        _count(current(), limiter, limits)

    limiter.request_filter(lambda: current().is_counted)
    limiter.init_app(app)

    @app.before_request
    def refuse_unknown_callers() -> None:
        context = current()
        if context.refusal is not None:
            raise context.refusal
        if context.authenticated and not context.is_counted:
            context.limit_status = limits.status(limiter.limiter, _counted(limiter))

    @app.errorhandler(flask_limiter.RateLimitExceeded)
    def refuse(_: flask_limiter.RateLimitExceeded) -> Response:
        context = current()
        breached = next(limit for limit in limiter.current_limits if limit.breached)
        item, key = breached.limit, breached.request_args
        status = limits.status(limiter.limiter, [(item, key)])
        if _is_wrong_keys(breached):
            message = "Too many wrong keys were sent from this address; try again later."
            wait_s = float(item.get_expiry()) if status is None else status.reset_s
            error = RateLimitExceeded(message, retry_after=max(1.0, wait_s))
        else:
            error = _exceeded(context, item, status)
        return error_response(context, error)


def _count(context: RequestContext, limiter: Limiter, limits: CallerLimits) -> None:
    """Count a call under its caller's limits. Raises RateLimitExceeded.

    Left to the extension: callers whose credential it may have to count as a wrong key, and a
    storage that does not answer, for which it falls back to memory.
    """
    if _is_free() or context.unknown_credential:
        return
    windows = limiter.limiter
    if windows.storage is not limiter.storage:
        return
    key = [counter_key(context.caller, context.client_address), _CALLS_SCOPE]
    items = _parsed(limits.limit_of(context.caller))
    try:
        full = next((item for item in items if not windows.hit(item, *key)), None)
    except windows.storage.base_exceptions:
        return
    if full is not None:
        raise _exceeded(context, full, limits.status(windows, [(full, key)]))
    context.limit_status = limits.status(windows, [(item, key) for item in items])
    context.is_counted = True


def _exceeded(
    context: RequestContext, item: RateLimitItem, status: LimitStatus | None
) -> RateLimitExceeded:
    context.limit_status = status
    wait_s = float(item.get_expiry()) if status is None else status.reset_s
    message = f"The limit of {item} is reached; try again in {format_s(wait_s)}."
    return RateLimitExceeded(message, retry_after=max(1.0, wait_s))


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
