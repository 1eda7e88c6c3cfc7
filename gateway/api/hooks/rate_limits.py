"""How often a caller may call: Flask-Limiter's windows, counted before each request.

Its decorators and hooks would cost 40 to 280 µs a request, most of it to find out which
limits apply; here every route that needs a credential has one limit, its caller's.
"""

from __future__ import annotations

from pathlib import Path

from flask import Flask, Response
from flask_limiter import Limiter

from gateway.api.context import services, state, trace
from gateway.api.http.body import address
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
        address,
        strategy="moving-window",
        storage_uri=uri,
        storage_options={"path": str(path)},
    )
    app.extensions["limiter"] = {limiter}  # as one that has its hooks, so that it adds none
    limiter.init_app(app)
    return limiter


def register(app: Flask) -> None:
    @app.before_request
    def count() -> None:
        known = state()
        who = known.caller
        if who is None:
            return
        if who.credential is not None:
            services().wrong_keys.check(who)
        known.standing, refusal = services().limits.take(who, address())
        if refusal is not None:
            raise refusal

    @app.after_request
    def learn(response: Response) -> Response:
        """What a vendor says of a caller's own credential counts like what we say of our keys."""
        who = state().caller
        if who is not None and who.credential is not None:
            if response.status_code == 401:
                services().wrong_keys.count(address())
            elif who.stranger is not None and (found := trace()).attempts and found.error is None:
                services().strangers.answered(who.owner, found.upstream)
        return response
