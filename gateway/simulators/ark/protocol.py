"""Ark's envelope: keys, request ids, errors, and the refusals that any call can meet."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from flask import Response, g, request

from gateway.simulators.calls import Call, bearer, json_response, parse_json, receive
from gateway.simulators.fields import Fields, Problem


@dataclass(slots=True)
class ArkError(Exception):
    """An answer that is not 200. Clients classify by `code`; `type` may be empty."""

    status: int
    code: str
    message: str
    param: str = ""
    type: str = "BadRequest"


_KEY = ArkError(
    401,
    "AuthenticationError",
    "The API key or AK/SK in the request is missing or invalid.",
    type="Unauthorized",
)
_ALWAYS: Mapping[str, ArkError] = MappingProxyType(
    {
        "wrong": _KEY,
        "denied": ArkError(
            403,
            "AccessDenied",
            "You do not have the permission to access the requested resource.",
            type="Forbidden",
        ),
        "overdue": ArkError(
            403,
            "AccountOverdueError",
            "The request failed because your account has an overdue balance.",
            type="Forbidden",
        ),
    }
)
_AT_WORK: Mapping[str, ArkError] = MappingProxyType(
    {
        "unopened": ArkError(
            404,
            "ModelNotOpen",
            "Your account has not activated the model. Please activate it in the Ark Console.",
            type="NotFound",
        ),
        "empty": ArkError(
            429,
            "ModelAccountRpmRateLimitExceeded",
            "RPM limit exceeded: the account sends too many requests per minute to this model.",
            type="TooManyRequests",
        ),
        "daily": ArkError(
            429,
            "QuotaExceeded",
            "You have exceeded the weekly usage quota. It will reset at 2100-01-04 00:00:00 +0800.",
            type="TooManyRequests",
        ),
        "overloaded": ArkError(
            429,
            "ServerOverloaded",
            "The service is currently unable to handle additional requests due to overload.",
            type="TooManyRequests",
        ),
        "broken": ArkError(
            500,
            "InternalServiceError",
            "The service encountered an unexpected internal error.",
            type="InternalServerError",
        ),
    }
)


def open_call(operation: str, *, body: object = None, main: bool = True) -> Call:
    """Count the current request, and refuse it if its key or the service's state say so."""
    call = receive(operation, bearer(), body, main=main)
    if not call.credential:
        raise replace(_KEY)
    if "asked" in call.behaviour:  # work is taken, and questions about it are refused
        if main:
            return call
        main = True
    for word in call.behaviour.words:
        refusal = _ALWAYS.get(word) or (_AT_WORK.get(word) if main else None)
        if refusal is not None:
            raise replace(refusal)
    return call


def open_json_call(operation: str) -> tuple[Call, Fields]:
    """Do the same for a call that asks for work, and read its JSON body."""
    try:
        body = parse_json(request.get_data(cache=False))
    except ValueError as error:
        open_call(operation)
        message = "The request failed because its body is not valid JSON."
        raise ArkError(400, "InvalidParameter", message) from error
    return open_call(operation, body=body), Fields(body, refuse)


def refuse(problem: Problem, path: str, reason: str) -> ArkError:
    """Return Ark's error for a field."""
    if problem == "missing":
        message = f"The request failed because it is missing the `{path}` parameter."
        return ArkError(400, "MissingParameter", message, path)
    message = f"The parameter `{path}` specified in the request is not valid: {path} {reason}."
    return ArkError(400, "InvalidParameter", message, path)


def model_not_found(model: str) -> ArkError:
    """Return the error for a model, or an inference endpoint, that does not exist."""
    message = f"The model or endpoint {model} does not exist or you do not have access to it."
    return ArkError(404, "InvalidEndpointOrModel.NotFound", message, type="NotFound")


def request_id() -> str:
    """Return the id of the current request: `02`, milliseconds, and a random part."""
    if "ark_request_id" not in g:
        g.ark_request_id = f"02{time.time_ns() // 1_000_000}{secrets.token_hex(9)}"
    found: str = g.ark_request_id
    return found


def answer_error(error: ArkError) -> Response:
    """Render an error."""
    call: Call | None = g.get("call")
    message = f"{error.message} Request id: {request_id()}"
    body = {
        "code": error.code,
        "message": call.behaviour.error_message(message) if call else message,
        "param": error.param,
        "type": error.type,
    }
    return json_response({"error": body}, error.status)


def sign(response: Response) -> Response:
    """Put the request id on an answer."""
    response.headers["X-Request-Id"] = request_id()
    return response
