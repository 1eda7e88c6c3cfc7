"""Google's error model (google.rpc.Status in JSON), which all of its vendors here share.

https://cloud.google.com/apis/design/errors
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone, tzinfo
from datetime import time as clock_time
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from gateway.domain.accounts import Account
from gateway.domain.errors import (
    AccountQuotaExhausted,
    AccountRejected,
    ContentFiltered,
    ContextLengthExceeded,
    GatewayError,
    ModelNotFound,
    ModelQuotaExhausted,
    NotFound,
    RequestTooLarge,
    UpstreamError,
    UpstreamOverloaded,
)
from gateway.net.http.client import Answer
from gateway.upstreams.errors import (
    Refusal,
    Row,
    read_error,
    retry_after_s,
    to_error,
)

_RETRY_IN = re.compile(r"retry in (\d{1,9}(?:\.\d{1,9})?)(ms|s)\b", re.IGNORECASE)
_DELAY = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)s")

# Quotas of a day begin anew at midnight in California; where the machine does not know when
# that has summer time, an hour late then, and never early.
_ZONE = "America/Los_Angeles"

_DAILY = r".*PerDay.*|quota_exceeded"
_DAILY_OF_MODEL = r"(?!.*PerDay(?!\S*PerModel)).*PerDay\S*PerModel.*"  # and no other of a day
_NONE_AT_ALL = r"\blimit: 0\b"

# Said without a reason where errors have no details.
_WRONG_KEY = (
    r"^API key (not valid|expired|not found)\. Please (pass|renew) (a valid|the) API key\.$"
)
_NOT_HERE = (
    r"^User location is not supported for the API use\.?$"
    r"|^Gemini API free tier is not available in your country\. Please enable billing on your "
    r"project in Google AI Studio\.?$"
)

# The code of a row is the status, then the reasons and quota ids of the details.
# https://ai.google.dev/gemini-api/docs/troubleshooting
TABLE: Sequence[Row] = (
    Row(None, r".*\bAPI_KEY_(INVALID|EXPIRED|SERVICE_BLOCKED)\b.*", "", AccountRejected),
    Row(None, "authentication", "", AccountRejected),
    Row(400, "", _WRONG_KEY, AccountRejected),
    Row(400, "FAILED_PRECONDITION.*", _NOT_HERE, AccountRejected),
    Row(
        400,
        "",
        r"token count.{0,100}exceeds|exceeds the maximum number of tokens",
        ContextLengthExceeded,
    ),
    Row(400, "", r"payload size exceeds", RequestTooLarge),
    Row(400, "", r"\b(safety|content) polic|prohibited content", ContentFiltered),
    Row(404, "", r"\bmodels?\b", ModelNotFound),
    Row(403, "", r"\baccess the File\b", NotFound),
    Row(429, _DAILY_OF_MODEL, "", ModelQuotaExhausted),
    Row(429, _DAILY, "", AccountQuotaExhausted),
    Row(429, "", _NONE_AT_ALL + r".{0,100}\bmodel: \S", ModelQuotaExhausted),
    Row(429, "", _NONE_AT_ALL, AccountQuotaExhausted),
    Row(499, "", "", UpstreamError),
    Row(500, "", r"\boverloaded\b", UpstreamOverloaded),
)


def raise_for_status(
    answer: Answer, *, vendor: str, account: Account, table: Sequence[Row] = TABLE
) -> None:
    """Raise what an answer other than 2xx means."""
    if not 200 <= answer.status < 300:
        raise error_of(answer, vendor=vendor, account=account, table=table)


def error_of(
    answer: Answer, *, vendor: str, account: Account, table: Sequence[Row] = TABLE
) -> GatewayError:
    """The error for a refusal; its body is a status, or one wrapped in an array of one."""
    body = read_error(answer)
    wait_s = retry_after_s(answer.headers)
    if (status := status_in(body)) is not None:
        refusal = _refusal(answer.status, status, wait_s)
    else:
        words = body if isinstance(body, str) else ""
        refusal = Refusal(answer.status, "", words, retry_after=wait_s, from_vendor=False)
    return to_error(refusal, table, vendor=vendor, account=account)


def embedded_error(
    status: Mapping[str, Any], *, vendor: str, account: Account, table: Sequence[Row] = TABLE
) -> GatewayError:
    """The error for a status inside a response that had begun."""
    code = status.get("code")
    refusal = _refusal(code if type(code) is int and 400 <= code < 600 else 0, status, None)
    error = to_error(refusal, table, vendor=vendor, account=account)
    error.sent = True
    return error


def status_in(body: Any) -> Mapping[str, Any] | None:
    """The google.rpc.Status of `{"error": …}` or `[{"error": …}]`, if that is what it is."""
    if isinstance(body, list) and body:
        body = body[0]
    status = body.get("error") if isinstance(body, dict) else None
    return status if isinstance(status, dict) else None


def _refusal(http_status: int, status: Mapping[str, Any], wait: float | None) -> Refusal:
    listed = status.get("details")
    details = [d for d in listed if isinstance(d, dict)] if isinstance(listed, list) else []
    message = str(status.get("message") or "")
    code = " ".join([str(status.get("status") or status.get("code") or ""), *_reasons(details)])
    if "API_KEY_INVALID" in code:
        http_status = 401  # a wrong key is answered with 400
    if http_status == 429:
        if re.fullmatch(_DAILY, code) or re.search(_NONE_AT_ALL, message):
            wait = _until_midnight_s()
        else:
            wait = wait or _retry_delay_s(details, message)
    return Refusal(http_status, code, message, retry_after=wait)


def _reasons(details: Sequence[Mapping[str, Any]]) -> list[str]:
    """ErrorInfo's reasons and QuotaFailure's quota ids."""
    found = [str(detail["reason"]) for detail in details if "reason" in detail]
    for detail in details:
        violations = detail.get("violations")
        if isinstance(violations, list):
            found += [str(v.get("quotaId", "")) for v in violations if isinstance(v, dict)]
    return found


def _retry_delay_s(details: Sequence[Mapping[str, Any]], message: str) -> float | None:
    """RetryInfo's delay, else the one in "Please retry in 22.1s."."""
    for detail in details:
        if match := _DELAY.fullmatch(str(detail.get("retryDelay", ""))):
            return float(match[1]) or None
    if match := _RETRY_IN.search(message):
        return float(match[1]) / (1000 if match[2] == "ms" else 1) or None
    return None


def _until_midnight_s() -> float:
    now = datetime.now(_pacific())
    tomorrow = now.date() + timedelta(days=1)
    midnight = datetime.combine(tomorrow, clock_time(), tzinfo=now.tzinfo)
    return midnight.timestamp() - now.timestamp()


@cache
def _pacific() -> tzinfo:
    try:
        return ZoneInfo(_ZONE)
    except (ZoneInfoNotFoundError, OSError):
        return timezone(timedelta(hours=-8))
