"""Errors as responses, in the envelope of the dialect that was asked."""

from __future__ import annotations

import math
from typing import Any

from flask import Flask, Response, current_app
from marshmallow import ValidationError
from werkzeug.exceptions import HTTPException

from gateway.api.app import ApiResponse
from gateway.api.context import RequestContext, current
from gateway.api.dialects.paths import dialect_at
from gateway.api.http.responses import json_response
from gateway.domain import errors
from gateway.domain.errors import Fault, GatewayError, InvalidRequest, MissingField
from gateway.runtime.logs import log
from gateway.runtime.memory import release_frames

_BY_STATUS: dict[int, type[GatewayError]] = {
    404: errors.NotFound,
    405: errors.MethodNotAllowed,
    408: errors.RequestTimeout,
    413: errors.RequestTooLarge,
    415: errors.UnsupportedContentType,
}
_MESSAGES = {
    405: "This address does not take this method.",
    413: "The request body is too large.",
}
# Work that may have begun and been paid for: the SDKs must not repeat it by themselves.
_NEVER_REPEATED = (errors.OutcomeUnknown, errors.JobFailed, errors.Conflict)
_REPEATABLE_STATUSES = frozenset({408, 429})  # of those that are the caller's to mend
_LONGEST_WAIT_S = 60.0  # SDKs wait no longer before they repeat a request


def error_response(context: RequestContext, err: GatewayError) -> ApiResponse:
    trace = context.trace
    trace.error = err
    release_frames(err)
    body = dialect_at(context.path).error_body(err, trace.request_id)
    response = json_response(body, err.status)
    if err.retry_after is not None or err.status in (429, 503):
        response.headers["Retry-After"] = str(max(1, math.ceil(err.retry_after or 1)))
    if err.status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="gateway"'
    if not _repeatable(context, err):
        response.headers["x-should-retry"] = "false"
    return response


def _repeatable(context: RequestContext, err: GatewayError) -> bool:
    """Tell if the same request may fare better soon, and cannot be paid for twice."""
    if isinstance(err, _NEVER_REPEATED) or (err.sent and context.may_be_paid):
        return False
    if err.fault in (Fault.CALLER, Fault.CONTENT) and err.status not in _REPEATABLE_STATUSES:
        return False
    return (err.retry_after or 0.0) <= _LONGEST_WAIT_S


def problem_of(err: ValidationError) -> GatewayError:
    """The first problem of a request that does not fit its schema."""
    path, problem = _first(err.messages)
    if problem.startswith("Missing data"):
        return MissingField(f"{path} is required.", param=path)
    if problem.startswith("Invalid input type"):
        return InvalidRequest("The body must be a JSON object.", code="invalid_json")
    return InvalidRequest(f"{path}: {problem.rstrip('.')}.", param=path or None)


def _from_http(context: RequestContext, err: HTTPException) -> GatewayError:
    status = err.code or 500
    kind = _BY_STATUS.get(status)
    message = _MESSAGES.get(status, err.description or "The request failed.")
    if status == 404:
        message = _nothing_here(context.path)
    if kind is not None:
        return kind(message)
    if status < 500:
        made: GatewayError = InvalidRequest(message, code="invalid_request")
        made.status = status
        return made
    return GatewayError("Something went wrong inside the gateway.")


def _nothing_here(path: str) -> str:
    """With the way to the API for those whose base URL lacks its `/v1`."""
    below = f"/v1{path}"
    if any(rule.rule == below for rule in current_app.url_map.iter_rules()):
        return f"There is nothing at this address; the API is below /v1: {below}."
    return "There is nothing at this address; see GET /docs for what there is."


def register(app: Flask) -> None:
    @app.errorhandler(GatewayError)
    def known(err: GatewayError) -> Response:
        return error_response(current(), err)

    @app.errorhandler(ValidationError)
    def invalid(err: ValidationError) -> Response:
        return error_response(current(), problem_of(err))

    @app.errorhandler(HTTPException)
    def http_error(err: HTTPException) -> Response:
        context = current()
        response = error_response(context, _from_http(context, err))
        allowed = getattr(err, "valid_methods", None)
        if allowed:
            response.headers["Allow"] = ", ".join(sorted(allowed))
        return response

    @app.errorhandler(Exception)
    def unexpected(err: Exception) -> Response:
        """The boundary: an exception without a handler is logged and answered as a plain 500."""
        context = current()
        log.error(
            "unexpected_error",
            request_id=context.trace.request_id,
            path=context.path[:256],
            exception=err,
        )
        return error_response(context, GatewayError("Something went wrong inside the gateway."))


def _first(messages: Any, path: str = "") -> tuple[str, str]:
    """Path and text of the first problem in marshmallow's nested messages."""
    while isinstance(messages, dict):
        key, messages = next(iter(messages.items()))
        if key != "_schema":
            path = f"{path}[{key}]" if isinstance(key, int) else f"{path}.{key}".lstrip(".")
    return path, str(messages[0] if isinstance(messages, list) else messages)
