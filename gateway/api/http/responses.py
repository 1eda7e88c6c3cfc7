"""JSON responses, and the headers that responses have in common."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict
from string import punctuation
from typing import Any
from urllib.parse import quote

import orjson
from flask import request
from werkzeug.http import http_date

from gateway.api.app import ApiResponse
from gateway.api.context import RequestContext
from gateway.domain.accounts import LimitStatus
from gateway.domain.money import NANOS, units
from gateway.domain.requests import VendorCall
from gateway.net.codecs import json_body as json_codec
from gateway.services.access.limits import format_s
from gateway.services.routing.dispatch import Trace

# Whoever asks decides what is answered; caches in between must not mix that up.
_VARY = ("Vary", "Authorization, Origin")
JSON = [("Content-Type", "application/json"), ("Cache-Control", "no-store"), _VARY]
EVENT_STREAM = [
    ("Content-Type", "text/event-stream; charset=utf-8"),
    ("Cache-Control", "no-cache, no-transform"),
    ("X-Accel-Buffering", "no"),
    _VARY,
]
_EXPOSED = ", ".join(
    (
        "X-Request-Id",
        "X-Gateway-Upstream",
        "X-Gateway-Account",
        "X-Gateway-Attempts",
        "X-Gateway-Dropped-Params",
        "X-Gateway-Changed-Params",
        "X-Gateway-Served-Model",
        "X-Gateway-Model-Known",
        "X-Gateway-Usage",
        "X-Gateway-Cost",
        "X-Gateway-Cost-Basis",
        "X-Gateway-Budget-Remaining",
        "X-Gateway-Job",
        "Deprecation",
        "Sunset",
        "Idempotent-Replayed",
        "Retry-After",
        "Location",
        "ETag",
        "x-ratelimit-limit-requests",
        "x-ratelimit-remaining-requests",
        "x-ratelimit-reset-requests",
    )
)
CORS = [
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Expose-Headers", _EXPOSED),
]
POLL_S = "2"
_LONGEST_NAME = 256
_NOTICE_S = 30 * 86400.0  # before the shutdown of a model


def json_response(payload: Any, status: int = 200) -> ApiResponse:
    return ApiResponse(orjson.dumps(payload), status, JSON)


def json_with_media(document: dict[str, Any]) -> ApiResponse:
    """JSON whose base64 images, where there are any, are read from the store while sent."""
    body = json_codec.encode(document)
    if isinstance(body, bytes):
        return ApiResponse(body, headers=JSON)
    response = ApiResponse(body.chunks(), headers=JSON)
    response.content_length = body.size
    return response


def poll_response(response: ApiResponse, *, done: bool) -> ApiResponse:
    """A state that is asked for again and again: when to, and 304 while it is unchanged."""
    if not done:
        response.headers["Retry-After"] = POLL_S
    if not response.is_streamed:
        response.add_etag()
        response.make_conditional(request)
    return response


def dry_run(context: RequestContext, calls: Sequence[VendorCall]) -> ApiResponse:
    trace = context.trace
    return json_response(
        {
            "object": "gateway.dry_run",
            "model": trace.model,
            "upstream": trace.upstream,
            "account": trace.account,
            "requests": [asdict(call) for call in calls],
            "cost": _cost(context),
        }
    )


def _cost(context: RequestContext) -> dict[str, Any] | None:
    found = context.trace.cost_range
    if found is None:
        return None
    return {
        "currency": context.services.settings.money.currency,
        "low": units(found.low),
        "high": units(found.high),
        "basis": found.basis,
    }


def early_headers(context: RequestContext) -> list[tuple[str, str]]:
    """The headers that do not depend on the answer: ids and the caller's limit."""
    trace = context.trace
    headers = [("X-Request-Id", trace.request_id)]
    if trace.job is not None:
        headers.append(("X-Gateway-Job", trace.job))
    if context.replayed:
        headers.append(("Idempotent-Replayed", "true"))
    return headers + limit_headers(context.limit_status)


def routing_headers(trace: Trace) -> list[tuple[str, str]]:
    """Upstream, account and model of a response, and what was changed for them."""
    if trace.upstream is None:
        return []
    headers = [
        ("X-Gateway-Upstream", trace.upstream),
        ("X-Gateway-Account", trace.account or ""),
        ("X-Gateway-Attempts", str(trace.attempts)),
    ]
    if served := trace.served_model:
        if len(served) > _LONGEST_NAME or not (served.isascii() and served.isprintable()):
            served = quote(served[:_LONGEST_NAME], safe=punctuation)  # a vendor may say anything
        headers.append(("X-Gateway-Served-Model", served))
    if trace.dropped or trace.unknown:
        names = ", ".join((*trace.dropped, *trace.unknown))
        headers.append(("X-Gateway-Dropped-Params", names))
    if trace.changed:
        headers.append(("X-Gateway-Changed-Params", ", ".join(trace.changed)))
    if not trace.model_known:
        headers.append(("X-Gateway-Model-Known", "no"))
    if trace.shutdown_at is not None:
        headers += _shutdown_headers(trace.shutdown_at)
    if trace.usage is not None:
        counted = "estimated" if trace.usage.estimated else "vendor"
        headers.append(("X-Gateway-Usage", counted))
        headers.append(("X-Gateway-Cost-Basis", trace.usage.cost_basis))
        if trace.usage.cost is not None:
            headers.append(("X-Gateway-Cost", decimal(trace.usage.cost)))
    if trace.budget_left is not None:
        headers.append(("X-Gateway-Budget-Remaining", decimal(trace.budget_left)))
    return headers


def decimal(nanos: int) -> str:
    """An amount of money, exactly and without an exponent."""
    text = f"{nanos // NANOS if nanos >= 0 else -(-nanos // NANOS)}.{abs(nanos) % NANOS:09d}"
    return ("-" if -NANOS < nanos < 0 else "") + text.rstrip("0").rstrip(".")


def _shutdown_headers(shutdown_at: float) -> list[tuple[str, str]]:
    """https://www.rfc-editor.org/rfc/rfc9745 and https://www.rfc-editor.org/rfc/rfc8594"""
    deprecated_at = shutdown_at - _NOTICE_S
    if time.time() < deprecated_at:
        return []
    return [("Deprecation", f"@{deprecated_at:.0f}"), ("Sunset", http_date(shutdown_at))]


def limit_headers(status: LimitStatus | None) -> list[tuple[str, str]]:
    """The rest of the caller's limit, in OpenAI's form."""
    if status is None:
        return []
    return [
        ("x-ratelimit-limit-requests", str(status.limit)),
        ("x-ratelimit-remaining-requests", str(status.remaining)),
        ("x-ratelimit-reset-requests", format_s(status.reset_s)),
    ]
