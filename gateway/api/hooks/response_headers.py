"""Headers of every response: identity, explanation and CORS."""

from __future__ import annotations

import re

from flask import Response

from gateway.api.app import ApiResponse
from gateway.api.context import RequestContext
from gateway.api.http.responses import CORS, early_headers, routing_headers

_CROSS_ORIGIN = ("/v1/", "/v1beta/", "/api/v3/", "/upload/", "/media/")
_HEADER_NAMES = re.compile(r"[A-Za-z0-9_, *-]{1,2000}")


def preflight(context: RequestContext) -> Response | None:
    """The response to a CORS preflight, None to any other request."""
    if context.method != "OPTIONS" or not _is_cross_origin(context.path):
        return None
    wanted = context.environ.get("HTTP_ACCESS_CONTROL_REQUEST_HEADERS", "")
    response = ApiResponse(status=204)
    response.headers.update(
        {
            "Access-Control-Allow-Headers": wanted if _HEADER_NAMES.fullmatch(wanted) else "*",
            "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS",
            "Access-Control-Max-Age": "86400",
            "Vary": "Access-Control-Request-Headers",
            "Cache-Control": "no-store",  # but for Access-Control-Max-Age
        }
    )
    return response


def add(context: RequestContext, response: ApiResponse) -> None:
    headers = [*early_headers(context), *routing_headers(context.trace)]
    if _is_cross_origin(context.path):
        headers += CORS
    if context.close_connection:
        headers.append(("Connection", "close"))
    response.fixed_headers = headers


def _is_cross_origin(path: str) -> bool:
    return path.startswith(_CROSS_ORIGIN) or path == "/v1"
