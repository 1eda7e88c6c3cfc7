"""Answers the worker gives by itself: what never reached the app, or what the app let fall.

They are OpenAI's error envelope, so that no client of the API ever meets HTML.
"""

from __future__ import annotations

import json
import math
import uuid
from http import HTTPStatus

from gunicorn.http import errors as http

from gateway.domain.errors import GatewayError

# First match wins: subclasses stand before what they derive from.
_PARSER: tuple[tuple[type[Exception], int, str, str], ...] = (
    (http.LimitRequestLine, 414, "uri_too_long", "The request line is too long."),
    (http.LimitRequestHeaders, 431, "headers_too_large", "The request's headers are too large."),
    (
        http.ExpectationFailed,
        417,
        "expectation_failed",
        "The only expectation met is 100-continue.",
    ),
    (
        http.UnsupportedTransferCoding,
        501,
        "unsupported_transfer_coding",
        "The only transfer coding taken is chunked.",
    ),
    (http.InvalidHTTPVersion, 400, "invalid_request", "Speak HTTP/1.0 or HTTP/1.1."),
    (http.InvalidRequestMethod, 400, "invalid_request", "The request's method is malformed."),
    (http.InvalidRequestLine, 400, "invalid_request", "The request line is malformed."),
    (http.ParseException, 400, "invalid_request", "The request's headers are malformed."),
)


def for_parser(error: http.ParseException) -> bytes:
    """The answer to a request that could not be read."""
    for kind, status, code, message in _PARSER:
        if isinstance(error, kind):
            return _render(status, "invalid_request_error", code, message)
    raise AssertionError(error)


def for_error(error: GatewayError) -> bytes:
    """The answer to a request that ended with `error` before the app gave its own."""
    return _render(
        error.status,
        error.type,
        error.code,
        error.message,
        param=error.param,
        retry_after=error.retry_after,
    )


def _render(
    status: int,
    kind: str,
    code: str | None,
    message: str,
    *,
    param: str | None = None,
    retry_after: float | None = None,
) -> bytes:
    """A whole response; the connection must be closed after it."""
    envelope = {"error": {"message": message, "type": kind, "param": param, "code": code}}
    body = json.dumps(envelope).encode()
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        f"X-Request-Id: {uuid.uuid4().hex}",
        "Cache-Control: no-store",
        "Connection: close",
    ]
    if retry_after is not None:
        lines.append(f"Retry-After: {math.ceil(retry_after)}")
    return "\r\n".join([*lines, "", ""]).encode() + body
