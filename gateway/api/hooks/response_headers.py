"""What every answer carries: identity, explanation and CORS headers; dry runs; last words."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from secrets import token_hex

from flask import Flask, Response, request

from gateway.api.context import State, services, state, the_request, trace
from gateway.api.dialects.base import OPENAI, Dialect
from gateway.api.hooks import request_log as ended
from gateway.api.http.body import CORS, json_response, limit_headers
from gateway.api.renderers.chat import ErrorFrame
from gateway.domain.errors import GatewayError, ShuttingDown
from gateway.domain.media import StoredMedia
from gateway.domain.requests import VendorCall
from gateway.runtime.interruption import DrainExit
from gateway.services.routing.dispatch import Trace

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_CROSS_ORIGIN = ("/v1/", "/v1beta/", "/api/v3/", "/upload/", "/media/")


def restarting(found: Trace) -> ShuttingDown:
    """What a request is told that the end of the process interrupts."""
    then = "send the request again."
    if found.job is not None:
        then = f"what was ordered is made meanwhile: ask for /v1/jobs/{found.job}."
    return ShuttingDown(f"The server is restarting; {then}", retry_after=1)


def stream_failure(err: GatewayError | DrainExit, found: Trace) -> GatewayError:
    """The error that ends a stream which has begun, noted for the request's log line."""
    found.error = restarting(found) if isinstance(err, DrainExit) else err
    return found.error


def error_frames(found: Trace, dialect: Dialect = OPENAI) -> ErrorFrame:
    """Renders the event that ends a failed stream; there is no `[DONE]` after it."""
    return lambda err: dialect.error_frame(stream_failure(err, found), found.request_id)


def signer() -> Callable[[StoredMedia], str]:
    """Media URLs on the address that the caller used, unless one is configured."""
    sign, asked = services().media.sign, the_request().environ
    scheme = "https" if asked["wsgi.url_scheme"] == "https" else "http"  # a proxy's word
    host = asked.get("HTTP_HOST") or f"{asked['SERVER_NAME']}:{asked['SERVER_PORT']}"
    return lambda stored: sign(stored, base=f"{scheme}://{host}")


def wants_plan() -> bool:
    return the_request().environ.get("HTTP_X_GATEWAY_DRY_RUN", "") in ("1", "true")


def dry_run(calls: Sequence[VendorCall]) -> Response:
    found = trace()
    return json_response(
        {
            "object": "gateway.dry_run",
            "model": found.model,
            "upstream": found.upstream,
            "account": found.account,
            "requests": [asdict(call) for call in calls],
        }
    )


def register(app: Flask) -> None:
    @app.before_request
    def begin() -> Response | None:
        asked = the_request()
        sent = asked.environ.get("HTTP_X_REQUEST_ID", "")
        request_id = sent if _REQUEST_ID.fullmatch(sent) else token_hex(16)
        state().trace = Trace(request_id)
        ended.begin()
        if asked.method == "OPTIONS" and _cross_origin(asked.path):
            return _preflight()
        return None

    @app.after_request
    def explain(response: Response) -> Response:
        known = state()
        headers = [*_identity(known), *limit_headers(known.standing)]
        if _cross_origin(the_request().path):
            headers += CORS
        if known.close_connection:
            headers.append(("Connection", "close"))
        response.extra = headers  # type: ignore[attr-defined]  # of `App.response_class`
        ended.later(response)
        return response


def _cross_origin(path: str) -> bool:
    return path.startswith(_CROSS_ORIGIN) or path == "/v1"


def _identity(known: State) -> list[tuple[str, str]]:
    found = known.trace
    headers = [("X-Request-Id", found.request_id), *facts(found)]
    if found.job is not None:
        headers.append(("X-Gateway-Job", found.job))
    if known.replayed:
        headers.append(("Idempotent-Replayed", "true"))
    return headers


def facts(found: Trace) -> list[tuple[str, str]]:
    """Where an answer came from, as headers."""
    if found.upstream is None:
        return []
    headers = [
        ("X-Gateway-Upstream", found.upstream),
        ("X-Gateway-Account", found.account or ""),
        ("X-Gateway-Attempts", str(found.attempts)),
    ]
    if found.dropped or found.unknown:
        names = ", ".join((*found.dropped, *found.unknown))
        headers.append(("X-Gateway-Dropped-Params", names))
    if found.usage is not None:
        counted = "estimated" if found.usage.estimated else "vendor"
        headers.append(("X-Gateway-Usage", counted))
    return headers


def _preflight() -> Response:
    response = Response(status=204)
    asked = request.headers.get("Access-Control-Request-Headers", "")
    allowed = asked if re.fullmatch(r"[A-Za-z0-9_, *-]{1,2000}", asked) else "*"
    response.headers["Access-Control-Allow-Headers"] = allowed
    response.headers["Access-Control-Allow-Methods"] = "GET, HEAD, POST, DELETE, OPTIONS"
    response.headers["Access-Control-Max-Age"] = "86400"
    response.headers["Vary"] = "Access-Control-Request-Headers"
    response.headers["Cache-Control"] = "no-store"  # but for Access-Control-Max-Age
    return response
