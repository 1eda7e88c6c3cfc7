"""Google's error model: google.rpc.Status in JSON. https://cloud.google.com/apis/design/errors"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import g

from gateway.simulators.google.protojson import InvalidPayload

_STATUS: Mapping[int, str] = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}
_TYPE = "type.googleapis.com/google.rpc."


class GoogleError(Exception):
    """A refusal; `slug` is its code on surfaces with codes of their own."""

    def __init__(
        self,
        code: int,
        message: str,
        *details: Mapping[str, Any],
        status: str | None = None,
        slug: str | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status or _STATUS[code]
        self.slug = slug
        self.details = details

    def body(self) -> dict[str, Any]:
        """Return `{"error": status}`, with the credential in the message under `echo`."""
        error: dict[str, Any] = {
            "code": self.code,
            "message": error_message(self.message),
            "status": self.status,
        }
        if self.details:
            error["details"] = list(self.details)
        return {"error": error}


def error_message(message: str) -> str:
    """Return a message, with the credential in it under `echo`."""
    call = g.get("call")
    return call.behaviour.error_message(message) if call else message


def invalid(message: str) -> GoogleError:
    """An argument that no state of the system would make acceptable."""
    return GoogleError(400, message)


def failed_precondition(message: str) -> GoogleError:
    """The system is not in the state that the call needs."""
    return GoogleError(400, message, status="FAILED_PRECONDITION")


def payload_error(problem: InvalidPayload) -> GoogleError:
    """The refusal of a payload that does not fit its message."""
    violations = [
        {"field": fault.field, "description": fault.description}
        if fault.field
        else {"description": fault.description}
        for fault in problem.faults
    ]
    unknown = any(fault.unknown for fault in problem.faults)
    return GoogleError(
        400,
        str(problem),
        detail("BadRequest", fieldViolations=violations),
        slug="parameter_unknown" if unknown else None,
    )


def detail(kind: str, **fields: object) -> dict[str, object]:
    """Return one entry of an error's details."""
    return {"@type": _TYPE + kind, **fields}


def error_info(reason: str, service: str, **metadata: str) -> dict[str, object]:
    """Return the detail that names the reason of a refusal."""
    return detail(
        "ErrorInfo",
        reason=reason,
        domain="googleapis.com",
        metadata={"service": service, **metadata},
    )
