"""How often a caller may call: Flask-Limiter's windows, counted before each request.

Its decorators and hooks would cost 40 to 280 µs a request, most of it to find out which
limits apply; here every route that needs a credential has one limit, its caller's.
"""

from __future__ import annotations

from pathlib import Path

from flask import Flask, Response
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address

from gateway.api.context import RequestContext
from gateway.storage import rate_counters as counters


def open_limiter(app: Flask, *, redis_url: str | None, path: Path) -> Limiter:
    """The windows: shared through Redis if there is one, else by the processes of a machine.

    `path` is where a machine keeps them. Raises ValueError for a URL that no client can use.
    """
    uri = f"{counters.SCHEME}:"
    if redis_url:
        from gateway.storage import redis_counters

        uri = redis_counters.SCHEME + redis_url
    limiter = Limiter(
        get_remote_address,
        strategy="moving-window",
        storage_uri=uri,
        storage_options={"path": str(path)},
    )
    app.extensions["limiter"] = {limiter}  # as one that has its hooks, so that it adds none
    limiter.init_app(app)
    return limiter


def check(context: RequestContext) -> None:
    """Count the request. Raises RateLimitExceeded."""
    services, caller = context.services, context.caller
    if caller.credential is not None:
        services.wrong_keys.check(caller)
    context.limit_status, refusal = services.limits.take(caller, context.client_address)
    if refusal is not None:
        raise refusal


def record(context: RequestContext, response: Response) -> None:
    """Count the vendor's refusal of a caller's own credential like a wrong key of ours."""
    caller = context.caller
    if caller.credential is not None:
        services, trace = context.services, context.trace
        if response.status_code == 401:
            services.wrong_keys.count(context.client_address)
        elif caller.stranger is not None and trace.attempts and trace.error is None:
            services.strangers.answered(caller.owner, trace.upstream)
