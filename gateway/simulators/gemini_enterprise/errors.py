"""Gemini Enterprise's refusals."""

from __future__ import annotations

from gateway.simulators.calls import Call
from gateway.simulators.google.errors import GoogleError, detail, error_info

SERVICE = "discoveryengine.googleapis.com"

_IDENTITY_URL = "https://developers.google.com/identity/sign-in/web/devconsole-project"
_METRIC = f"{SERVICE}/assist_requests"


def unauthenticated(reason: str) -> GoogleError:
    """No credential, or one that is not accepted; `reason` is Google's name for why."""
    given = "is missing required" if reason == "CREDENTIALS_MISSING" else "had invalid"
    return GoogleError(
        401,
        f"Request {given} authentication credentials. Expected OAuth 2 access token, login "
        f"cookie or other valid authentication credential. See {_IDENTITY_URL}.",
        error_info(reason, SERVICE),
    )


def refuse_account(call: Call, resource: str) -> None:
    """Raise the refusal of the account that its words ask for."""
    words = call.behaviour
    if "wrong" in words:
        raise unauthenticated("ACCESS_TOKEN_TYPE_UNSUPPORTED")
    if "denied" in words:
        permission = "discoveryengine.assistants.assist"
        raise GoogleError(
            403,
            f"Permission '{permission}' denied on resource '//{SERVICE}/{resource}' "
            "(or it may not exist).",
            error_info("IAM_PERMISSION_DENIED", SERVICE, permission=permission, resource=resource),
        )
    if "overdue" in words:
        raise GoogleError(
            403,
            "This API method requires billing to be enabled. Please enable billing on project "
            "#000000000000 and try again.",
            error_info("BILLING_DISABLED", SERVICE, consumer="projects/000000000000"),
        )


def refuse_work(call: Call) -> None:
    """Raise why the assistant does not work just now, if the words say so."""
    words = call.behaviour
    if "empty" in words or "daily" in words:
        raise _quota("daily" not in words, words.number("empty"))
    if "overloaded" in words:
        raise GoogleError(503, "The service is currently unavailable.")
    if "broken" in words:
        raise GoogleError(500, "Internal error encountered.")


def _quota(per_minute: bool, wait_s: int) -> GoogleError:
    """Quota error; its message does not name the limit."""
    period = "Minute" if per_minute else "Day"
    violation = {
        "quotaMetric": _METRIC,
        "quotaId": f"AssistRequestsPer{period}PerProject",
        "quotaDimensions": {"location": "global"},
        "quotaValue": "60" if per_minute else "200",
    }
    details = [detail("QuotaFailure", violations=[violation])]
    if per_minute:
        details.append(detail("RetryInfo", retryDelay=f"{wait_s}s"))
    return GoogleError(429, "Resource has been exhausted (e.g. check quota).", *details)


def not_found(kind: str, name: str) -> GoogleError:
    """A resource that is not there, or no longer."""
    return GoogleError(404, f"{kind} {name} does not exist.")
