"""The envelope of OpenAI-compatible servers: keys, request ids, errors and refusals."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from flask import Response, g, request

from gateway.simulators.calls import Call, bearer, json_response, parse_json, receive
from gateway.simulators.fields import Fields, Problem

_REQUESTS_PER_MINUTE = 60


@dataclass(slots=True)
class OpenAIError(Exception):
    """An answer that is not 200."""

    status: int
    message: str
    code: str | None = None
    param: str | None = None
    type: str = "invalid_request_error"


_ALWAYS: Mapping[str, OpenAIError] = MappingProxyType(
    {
        "wrong": OpenAIError(401, "Incorrect API key provided.", "invalid_api_key"),
        "denied": OpenAIError(
            403,
            "Country, region, or territory not supported.",
            "unsupported_country_region_territory",
            type="permission_error",
        ),
        "overdue": OpenAIError(
            400, "The billing hard limit of the account is reached.", "billing_hard_limit_reached"
        ),
    }
)
_AT_WORK: Mapping[str, OpenAIError] = MappingProxyType(
    {
        "unopened": OpenAIError(
            403, "Project `proj_1` does not have access to this model.", "model_not_found"
        ),
        "empty": OpenAIError(
            429,
            f"Rate limit reached: {_REQUESTS_PER_MINUTE} requests per minute.",
            "rate_limit_exceeded",
            type="requests",
        ),
        "daily": OpenAIError(
            429,
            "You exceeded your current quota, please check your plan and billing details.",
            "insufficient_quota",
            type="insufficient_quota",
        ),
        "overloaded": OpenAIError(
            503, "The engine is currently overloaded.", "overloaded", type="server_error"
        ),
        "broken": OpenAIError(
            500, "The server had an error while processing the request.", type="server_error"
        ),
    }
)


def open_call(operation: str, *, body: object = None, main: bool = True) -> Call:
    """Count the current request, and refuse it if its key or the service's state say so."""
    call = receive(operation, bearer(), body, main=main)
    if not call.credential:
        raise OpenAIError(401, "No API key was provided in the Authorization header.")
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
        raise OpenAIError(400, "The body of the request could not be parsed as JSON.") from error
    return open_call(operation, body=body), Fields(body, refuse)


def refuse(problem: Problem, path: str, reason: str) -> OpenAIError:
    """Return the error for a field."""
    if problem == "missing":
        message = f"Missing required parameter: '{path}'."
        return OpenAIError(400, message, "missing_required_parameter", path)
    if problem == "unknown":
        return OpenAIError(400, f"Unknown parameter: '{path}'.", "unknown_parameter", path)
    return OpenAIError(400, f"Invalid value for '{path}': it {reason}.", "invalid_value", path)


def check_model(name: str) -> None:
    """Raise the error for a model that does not exist: one whose name begins with `unknown`."""
    if name.startswith("unknown"):
        message = f"The model `{name}` does not exist or you do not have access to it."
        raise OpenAIError(404, message, "model_not_found")


def answer_error(error: OpenAIError) -> Response:
    """Render an error, with the headers by which clients decide to try again."""
    call: Call | None = g.get("call")
    body = {
        "message": call.behaviour.error_message(error.message) if call else error.message,
        "type": error.type,
        "param": error.param,
        "code": error.code,
    }
    response = json_response({"error": body}, error.status)
    if error.code == "rate_limit_exceeded" and call is not None:
        wait_s = call.behaviour.number("empty")
        response.headers["Retry-After"] = str(wait_s)
        response.headers["x-ratelimit-limit-requests"] = str(_REQUESTS_PER_MINUTE)
        response.headers["x-ratelimit-remaining-requests"] = "0"
        response.headers["x-ratelimit-reset-requests"] = f"{wait_s}s"
    return response


def sign(response: Response) -> Response:
    """Put a request id on an answer."""
    response.headers["x-request-id"] = f"req_{secrets.token_hex(16)}"
    return response
