"""Request handling of Google's front ends: bodies, query parameters, unknown paths."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import orjson
from flask import Response, request

from gateway.simulators.calls import parse_json
from gateway.simulators.google.errors import GoogleError, detail, invalid, payload_error
from gateway.simulators.google.protojson import InvalidPayload, Message, read

LARGEST_BODY_BYTES = 100 * 1024 * 1024

# https://cloud.google.com/apis/docs/system-parameters
_SYSTEM_PARAMETERS = frozenset(
    (
        "alt",
        "$alt",
        "key",
        "fields",
        "$fields",
        "prettyPrint",
        "$prettyPrint",
        "quotaUser",
        "uploadType",
        "upload_protocol",
        "callback",
        "access_token",
        "oauth_token",
        "$.xgafv",
        "$unique",
    )
)
_PAGE = (
    "<!DOCTYPE html>\n<html lang=en>\n<title>Error 404 (Not Found)!!1</title>\n"
    "<p><b>404.</b> <ins>That's an error.</ins>\n"
    "<p>The requested URL was not found on this server.\n"
)


def json_body() -> object:
    """Return the decoded body of the request; a body that is not JSON comes back as text."""
    raw = request.get_data()
    if not raw:
        return {}
    try:
        return parse_json(raw)
    except ValueError:
        return raw.decode(errors="replace")


def read_payload(message: Message, body: object) -> dict[str, Any]:
    """Return the fields of a body got by `json_body`; raises GoogleError."""
    size = request.content_length or 0
    if size > LARGEST_BODY_BYTES:
        raise invalid(f"Request payload size exceeds the limit: {LARGEST_BODY_BYTES} bytes.")
    if isinstance(body, str):
        raise invalid(f"Invalid JSON payload received. Unexpected token.\n{body[:40]}\n^")
    try:
        return read(message, body)
    except InvalidPayload as problem:
        raise payload_error(problem) from problem


def check_query(*known: str) -> None:
    """Refuse query parameters that are neither the method's own nor those of every method."""
    for name in request.args:
        if name not in _SYSTEM_PARAMETERS and name not in known:
            text = (
                f'Invalid JSON payload received. Unknown name "{name}": Cannot bind query '
                f"parameter. Field '{name}' could not be found in request message."
            )
            raise GoogleError(
                400, text, detail("BadRequest", fieldViolations=[{"description": text}])
            )


def page_size(name: str, default: int, most: int) -> int:
    """Return the size of a page; sizes beyond the largest are cut down to it."""
    given = request.args.get(name)
    if given is None or given == "":
        return default
    if not given.lstrip("-").isdecimal():
        raise invalid(f"Invalid value at 'page_size' (TYPE_INT32), \"{given}\"")
    if int(given) < 0:
        raise invalid("page_size must not be negative.")
    return min(int(given) or default, most)


def page(items: Collection[Any], size: int) -> tuple[list[Any], str | None]:
    """Return the page that `pageToken` asks for, and the token of the next one."""
    token = request.args.get("pageToken", "")
    if token and not (token.isdecimal() and int(token) <= len(items)):
        raise invalid("Invalid page token.")
    start = int(token or 0)
    rest = list(items)[start:]
    return rest[:size], str(start + size) if len(rest) > size else None


def google_json(payload: object, status: int = 200) -> Response:
    """Return JSON with the line breaks that Google's front ends put into it."""
    body = orjson.dumps(payload, option=orjson.OPT_INDENT_2) + b"\n"
    response = Response(body, status, content_type="application/json; charset=UTF-8")
    response.headers["Vary"] = "Origin, X-Origin, Referer"
    if status == 401:
        response.headers["WWW-Authenticate"] = (
            'Bearer realm="https://accounts.google.com/", error="invalid_token"'
        )
    return response


def not_routed() -> Response:
    """Return Google's HTML page for an unknown path or method."""
    return Response(_PAGE, 404, content_type="text/html; charset=UTF-8")
