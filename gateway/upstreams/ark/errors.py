"""Ark's error codes. https://www.volcengine.com/docs/82379/1299023"""

from __future__ import annotations

import re
from dataclasses import replace

from gateway.domain.accounts import Account
from gateway.domain.errors import (
    AccountExhausted,
    AccountQuotaExhausted,
    AccountRejected,
    Conflict,
    ContentFiltered,
    ContextLengthExceeded,
    GatewayError,
    JobFailed,
    ModelNotAvailable,
    ModelNotFound,
    ModelQuotaExhausted,
    ModelRejected,
    NotFound,
    UpstreamError,
    UpstreamOverloaded,
)
from gateway.upstreams.errors import Refusal, Row, reset_after_s, to_error
from gateway.upstreams.openai.envelope import Envelope

VENDOR = "Ark"
_PARAMETER = re.compile(r"parameter `([\w.\[\]]+)`")
_BLOCKED = r".*SensitiveContentDetected.*|.*RiskDetection|ContentSecurityDetectionError"

# "… has reached the set inference limit for the [X] model", "… exhausted its free trial quota
# for the [X] model".
_OF_MODEL = r"(limit|trial|free)\b.{0,100} for the \S{1,200} model\b"

# QuotaExceeded means three things, which only its message tells apart.
TABLE = (
    Row(None, _BLOCKED, "", ContentFiltered),
    Row(400, "OutofContextError", "", ContextLengthExceeded),
    Row(400, "", "exceed(s|ed)? max message tokens|maximum context length", ContextLengthExceeded),
    Row(400, "InvalidSubscription", "", AccountRejected),
    Row(400, r"InvalidEndpoint\.ClosedEndpoint", "", UpstreamOverloaded),
    Row(403, r"OperationDenied\.InvalidState", "", Conflict),
    Row(403, r"AccessDenied|OperationDenied\.(ServiceNotOpen|PermissionDenied)", "", ModelRejected),
    Row(None, r"InvalidAction\..*", "", Conflict),
    Row(
        404,
        r"ModelNotOpen|InvalidEndpointOrModel\.ModelIDAccessDisabled",
        "",
        ModelNotAvailable,
    ),
    Row(404, r"InvalidEndpointOrModel.*|UnsupportedModel", "", ModelNotFound),
    Row(404, r"NotFound.*|ResourceNotFound.*", "", NotFound),
    Row(404, "", "", UpstreamError),  # an empty body: no such path, so a wrong base URL
    Row(None, "ServerOverloaded", "", UpstreamOverloaded),
    Row(429, "", "reset at ", AccountQuotaExhausted),
    Row(429, "SetLimitExceeded|QuotaExceeded", _OF_MODEL, ModelQuotaExhausted),
    Row(429, "QuotaExceeded", "trial|free|exhausted|used up", AccountQuotaExhausted),
    Row(429, "SetLimitExceeded", "", AccountQuotaExhausted),
    Row(None, ".*RateLimitExceeded.*|RequestBurstTooFast|QuotaExceeded", "", AccountExhausted),
)
_JOB_TABLE = (Row(None, _BLOCKED, "", ContentFiltered), Row(None, ".*", "", JobFailed))


class ArkEnvelope(Envelope):
    """Reads from the message when a plan's quota is reset, and which parameter is meant."""

    def error(self, refusal: Refusal, account: Account) -> GatewayError:
        if refusal.status == 429 and refusal.retry_after is None:
            refusal = replace(refusal, retry_after=reset_after_s(refusal.message))
        if refusal.param is None and (named := _PARAMETER.search(refusal.message)):
            refusal = replace(refusal, param=named[1])
        return super().error(refusal, account)


ENVELOPE = ArkEnvelope(VENDOR, TABLE)


def job_error(code: str, message: str, account: Account) -> GatewayError:
    """Why a task that Ark had accepted came to nothing."""
    return to_error(Refusal(0, code, message), _JOB_TABLE, vendor=VENDOR, account=account)
