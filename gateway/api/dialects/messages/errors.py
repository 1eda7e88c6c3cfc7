"""Anthropic's error envelope. https://docs.anthropic.com/en/api/errors"""

from __future__ import annotations

from typing import Any

from gateway.api.dialects.base import Dialect
from gateway.api.dialects.stream import event_frame
from gateway.domain.errors import ContextLengthExceeded, GatewayError, InvalidRequest
from gateway.net.codecs.sse import unbroken

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


class ThreadUnsupported(InvalidRequest):
    """Tells Anthropic's SDKs to send the whole conversation from now on."""


def error_body(err: GatewayError, request_id: str) -> dict[str, Any]:
    kind = _TYPES.get(err.status) or ("invalid_request_error" if err.status < 500 else "api_error")
    error: dict[str, Any] = {"type": kind, "message": _message(err)}
    if isinstance(err, ThreadUnsupported):
        error["details"] = {"error_code": "thread_unsupported_request", "unsupported": ["thread"]}
    return {"type": "error", "error": error, "request_id": request_id}


def _error_frame(err: GatewayError, request_id: str) -> bytes:
    return unbroken(event_frame("error", error_body(err, request_id)))


def _message(err: GatewayError) -> str:
    """Claude Code shortens a conversation that is too long when the message has these words."""
    if isinstance(err, ContextLengthExceeded) and "prompt is too long" not in err.message.lower():
        return f"prompt is too long: {err.message}"
    return err.message


MESSAGES = Dialect(
    name="messages",
    error_body=error_body,
    error_frame=_error_frame,
    heartbeat=event_frame("ping", {"type": "ping"}),
)
