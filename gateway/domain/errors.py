"""Everything the gateway can report, one class per outcome.

* GatewayError              500 server_error            gateway
  x InvalidRequest          400 invalid_value           caller
    + InvalidJson, MissingField, InvalidImageUrl, InvalidBase64, UnsupportedMediaType,
      ContextLengthExceeded (400)
    + InvalidApiKey 401, ModelNotAllowed 403, ModelNotFound 404 (ModelNotAvailable), NotFound 404,
      MethodNotAllowed 405, RequestTimeout 408, Conflict 409, RequestTooLarge 413,
      UnsupportedContentType 415, IdempotencyKeyReused 422, RequestBlocked 400
    + RateLimitExceeded 429 (BudgetExceeded)
  x ContentFiltered         400 content_filtered        content
  x NoAccountAvailable      429 no_account_available    gateway
  x UpstreamError           502 upstream_error          vendor
    + UpstreamUnreachable 502, UpstreamDisconnected 502, UpstreamInvalidResponse 502,
      UpstreamTimeout 504, UpstreamOverloaded 503, OutcomeUnknown 502, JobFailed 502
    + AnswerFailed          502 answer_failed           content
    + AccountRejected       502 upstream_auth_failed    account
      - ModelRejected       502 upstream_auth_failed    account, for the one model
    + AccountExhausted      429 account_exhausted       minute quota
      - AccountQuotaExhausted        429 account_exhausted       day quota
        . ModelQuotaExhausted        429 account_exhausted       day quota, of the one model
  x StorageUnavailable      503 storage_unavailable     gateway
  x ShuttingDown            503 shutting_down           gateway
  x GatewayOverloaded       503 gateway_overloaded      gateway
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Self


class Fault(Enum):
    """The party at fault. It alone decides retry, cooldown and the caller's error message.

    But for ModelNotAvailable, which leaves its account alone and is tried with others.
    """

    CALLER = "caller"  # never retried, no account touched
    CONTENT = "content"  # refused by a content policy: as CALLER
    ACCOUNT = "account"  # this credential is refused: eject the account, try another
    MINUTE_QUOTA = "minute_quota"  # cool the account for `retry_after`, try another
    DAY_QUOTA = "day_quota"  # cool the account until `retry_after` or the vendor's reset
    VENDOR = "vendor"  # the vendor is at fault: try another, count towards its circuit
    GATEWAY = "gateway"  # ours: never retried


class GatewayError(Exception):
    """Base class. Class attributes are the defaults of OpenAI's error envelope.

    `retry_after` is in seconds. `sent` tells whether the vendor may have acted on
    the request: only an error with `sent = False` may be retried for paid work.
    """

    status = 500
    type = "server_error"
    code: str | None = "internal_error"
    fault = Fault.GATEWAY

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: float | None = None,
        sent: bool = False,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.retry_after = retry_after
        self.sent = sent
        if code is not None:
            self.code = code


class InvalidRequest(GatewayError):
    status, type, code, fault = 400, "invalid_request_error", "invalid_value", Fault.CALLER


class InvalidJson(InvalidRequest):
    code = "invalid_json"


class MissingField(InvalidRequest):
    code = "missing_field"


class InvalidImageUrl(InvalidRequest):
    code = "invalid_image_url"


class InvalidBase64(InvalidRequest):
    code = "invalid_base64"


class UnsupportedMediaType(InvalidRequest):
    code = "unsupported_media_type"


class ContextLengthExceeded(InvalidRequest):
    code = "context_length_exceeded"


class InvalidApiKey(InvalidRequest):
    """The message begins as OpenAI's does: some clients tell a wrong key by these words."""

    status, code = 401, "invalid_api_key"

    def __init__(self, message: str, **kw: Any) -> None:
        super().__init__(f"Incorrect API key provided. {message}", **kw)


class ModelNotAllowed(InvalidRequest):
    status, type, code = 403, "permission_error", "model_not_allowed"


class ModelNotFound(InvalidRequest):
    status, code = 404, "model_not_found"


class ModelNotAvailable(ModelNotFound):
    """The vendor has the model, but not for this account; for others it may."""


class NotFound(InvalidRequest):
    status, code = 404, "not_found"


class Forbidden(InvalidRequest):
    status, type, code = 403, "permission_error", "forbidden"


class MethodNotAllowed(InvalidRequest):
    status, code = 405, "method_not_allowed"


class RequestTimeout(InvalidRequest):
    status, code = 408, "request_timeout"


class Conflict(InvalidRequest):
    status, code = 409, "conflict"


class RequestTooLarge(InvalidRequest):
    status, code = 413, "request_too_large"


class UnsupportedContentType(InvalidRequest):
    status, code = 415, "unsupported_content_type"


class RangeNotSatisfiable(InvalidRequest):
    status, code = 416, "range_not_satisfiable"


class IdempotencyKeyReused(InvalidRequest):
    status, code = 422, "idempotency_key_reused"


class RateLimitExceeded(GatewayError):
    status, type, code = 429, "rate_limit_error", "rate_limit_exceeded"
    fault = Fault.CALLER


class BudgetExceeded(RateLimitExceeded):
    """A budget (`key:NAME`, `team:NAME`, `all`) that a call's upper bound would pass."""

    code = "budget_exceeded"

    def __init__(self, budget: str, period: str, *, retry_after: float | None = None) -> None:
        super().__init__(_budget_message(budget, period), retry_after=retry_after)
        self.budget = budget
        self.period = period


def _budget_message(budget: str, period: str) -> str:
    kind, _, name = budget.partition(":")
    whose = f"of the {kind} {name!r}" if name else "of the gateway"
    span = "day" if len(period) > len("2026-12") else "month"
    return f"The budget {whose} for the {span} ({period}, UTC) does not allow this request."


class RequestBlocked(InvalidRequest):
    """A proxy or firewall before the vendor refused the request; no account is at fault."""

    type, code = "upstream_error", "upstream_refused"


class ContentFiltered(GatewayError):
    status, type, code = 400, "invalid_request_error", "content_filtered"
    fault = Fault.CONTENT


class NoAccountAvailable(GatewayError):
    status, type, code = 429, "rate_limit_error", "no_account_available"


class UpstreamError(GatewayError):
    status, type, code, fault = 502, "upstream_error", "upstream_error", Fault.VENDOR


class UpstreamUnreachable(UpstreamError):
    """No connection was made, so nothing was sent."""

    code = "upstream_unreachable"


class UpstreamDisconnected(UpstreamError):
    """The vendor broke the exchange off before its answer was complete."""

    code = "upstream_disconnected"


class UpstreamInvalidResponse(UpstreamError):
    code = "upstream_invalid_response"


class AnswerFailed(UpstreamError):
    """The model ended its answer without completing it; no account is at fault."""

    code, fault = "answer_failed", Fault.CONTENT


class UpstreamTimeout(UpstreamError):
    status, code = 504, "upstream_timeout"


class UpstreamOverloaded(UpstreamError):
    status, code = 503, "upstream_overloaded"


class OutcomeUnknown(UpstreamError):
    """A paid job may or may not have been accepted; it is never submitted again."""

    code, fault = "outcome_unknown", Fault.GATEWAY


class JobFailed(UpstreamError):
    """The vendor took the job and reports that it failed."""

    code = "job_failed"


class TaskExpired(JobFailed):
    """The vendor gave the job up, as it took longer than it might."""

    code = "job_expired"


class TaskUnknown(JobFailed):
    """The vendor knows no such task: not yet, or no longer."""


class AccountRejected(UpstreamError):
    code, fault = "upstream_auth_failed", Fault.ACCOUNT


class ModelRejected(AccountRejected):
    """The account is not allowed this model; it may go on with others."""


class AccountExhausted(UpstreamError):
    status, type, code = 429, "rate_limit_error", "account_exhausted"
    fault = Fault.MINUTE_QUOTA


class AccountQuotaExhausted(AccountExhausted):
    fault = Fault.DAY_QUOTA


class ModelQuotaExhausted(AccountQuotaExhausted):
    """The account may go on with other models."""


class StorageUnavailable(GatewayError):
    """`why` is for those who operate the gateway: callers hear the message alone."""

    status, code = 503, "storage_unavailable"
    why = ""

    def because(self, why: str) -> Self:
        self.why = why
        return self

    @property
    def explained(self) -> str:
        return f"{self.message} ({self.why})" if self.why else self.message


class ShuttingDown(GatewayError):
    status, code = 503, "shutting_down"


class GatewayOverloaded(GatewayError):
    """This process has no memory or file descriptor left for the request."""

    status, code = 503, "gateway_overloaded"


def to_record(err: GatewayError) -> dict[str, object]:
    """The error as JSON, for the record of a job."""
    return {
        "message": err.message,
        "type": err.type,
        "param": err.param,
        "code": err.code,
        "status": err.status,
        "retry_after": err.retry_after,
        "sent": err.sent,
    }


def from_record(record: dict[str, object]) -> GatewayError:
    """A recorded error, ready to be raised; JobFailed when the vendor may have acted."""
    message = str(record.get("message", "The job failed."))
    sent = bool(record.get("sent", True))
    err = JobFailed(message, sent=True) if sent else GatewayError(message)
    for name in ("type", "param", "code", "status", "retry_after"):
        if name in record:
            setattr(err, name, record[name])
    return err
