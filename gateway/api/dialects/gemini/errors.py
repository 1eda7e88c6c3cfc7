"""Google's error envelope. https://cloud.google.com/apis/design/errors"""

from __future__ import annotations

from typing import Any

import orjson

from gateway.api.dialects.base import Dialect
from gateway.domain.errors import GatewayError
from gateway.net.codecs.sse import unbroken

_STATUSES = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    501: "UNIMPLEMENTED",
    502: "UNAVAILABLE",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def error_body(err: GatewayError, request_id: str) -> dict[str, Any]:
    status = _STATUSES.get(err.status) or ("INVALID_ARGUMENT" if err.status < 500 else "INTERNAL")
    return {"error": {"code": err.status, "message": err.message, "status": status}}


def _error_frame(err: GatewayError, request_id: str) -> bytes:
    return unbroken(b"data: " + orjson.dumps(error_body(err, request_id)) + b"\n\n")


GOOGLE = Dialect(
    name="gemini-api",
    error_body=error_body,
    error_frame=_error_frame,
    heartbeat=b"\n",  # a comment breaks its clients
    reads_query_key=True,
)
