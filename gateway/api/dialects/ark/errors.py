"""Ark's error envelope. https://www.volcengine.com/docs/82379/1299023"""

from __future__ import annotations

from typing import Any

import orjson

from gateway.api.dialects.base import Dialect
from gateway.domain.errors import ContentFiltered, GatewayError, ModelNotFound
from gateway.net.codecs.sse import unbroken

_CODES = {
    400: ("InvalidParameter", "BadRequest"),
    401: ("AuthenticationError", "Unauthorized"),
    403: ("AccessDenied", "Forbidden"),
    404: ("NotFound", "NotFound"),
    409: ("InvalidAction", "Conflict"),
    413: ("InvalidParameter", "BadRequest"),
    429: ("AccountRateLimitExceeded", "TooManyRequests"),
    503: ("ServerOverloaded", "TooManyRequests"),
}


class TaskIsRunning(GatewayError):
    """A task that the vendor works on can neither be cancelled nor deleted."""

    status, type, code = 409, "invalid_request_error", "InvalidAction.RunningTaskDeletion"

    def __init__(self) -> None:
        super().__init__("Cannot delete task because it is currently running")


def code_of(status: int, code: str | None = None) -> str:
    """Ark's code for a failure that has this status, or this code of the gateway's."""
    if code == ContentFiltered.code:
        return "SensitiveContentDetected"
    return _CODES.get(status, ("InternalServiceError", ""))[0]


def error_body(err: GatewayError, request_id: str) -> dict[str, Any]:
    code, kind = _CODES.get(err.status) or (
        ("InvalidParameter", "BadRequest")
        if err.status < 500
        else ("InternalServiceError", "InternalServerError")
    )
    if isinstance(err, ContentFiltered):
        code = "SensitiveContentDetected"
    elif isinstance(err, ModelNotFound):
        code = "InvalidEndpointOrModel.NotFound"
    elif isinstance(err, TaskIsRunning):
        code = err.code
    message = f"{err.message.rstrip('.')}. Request id: {request_id}"
    return {"error": {"code": code, "message": message, "param": err.param or "", "type": kind}}


def _error_frame(err: GatewayError, request_id: str) -> bytes:
    return unbroken(b"data: " + orjson.dumps(error_body(err, request_id)) + b"\n\n")


ARK = Dialect(
    name="ark", error_body=error_body, error_frame=_error_frame, heartbeat=b": waiting\n\n"
)
