"""The Gemini API's refusals. https://ai.google.dev/gemini-api/docs/troubleshooting"""

from __future__ import annotations

from gateway.simulators.calls import Call
from gateway.simulators.google.errors import (
    GoogleError,
    detail,
    error_info,
    failed_precondition,
)
from gateway.simulators.google.tokens import InvalidToken

SERVICE = "generativelanguage.googleapis.com"

_LIMITS_URL = "https://ai.google.dev/gemini-api/docs/rate-limits"
_METRIC = f"{SERVICE}/generate_content_paid_tier_requests"


def key_missing() -> GoogleError:
    """No credential at all."""
    return GoogleError(
        403,
        "Method doesn't allow unregistered callers (callers without established identity). "
        "Please use API Key or other form of API consumer identity to call this API.",
        slug="authentication",
    )


def key_invalid() -> GoogleError:
    """A key that no project has. The status is 400, not 401."""
    message = "API key not valid. Please pass a valid API key."
    return GoogleError(
        400,
        message,
        error_info("API_KEY_INVALID", SERVICE),
        detail("LocalizedMessage", locale="en-US", message=message),
        slug="authentication",
    )


def token_invalid(problem: InvalidToken) -> GoogleError:
    """An OAuth token that is not accepted."""
    return GoogleError(
        401,
        "Request had invalid authentication credentials. Expected OAuth 2 access token, login "
        "cookie or other valid authentication credential. See "
        "https://developers.google.com/identity/sign-in/web/devconsole-project.",
        error_info(problem.reason, SERVICE),
        slug="authentication",
    )


def refuse_account(call: Call) -> None:
    """Raise the refusal of the account that its words ask for."""
    if "denied" in call.behaviour:
        raise GoogleError(
            403,
            f"Requests to this API {SERVICE} are blocked.",
            error_info("API_KEY_SERVICE_BLOCKED", SERVICE, consumer="projects/000000000000"),
        )
    if "overdue" in call.behaviour:
        raise failed_precondition(
            "Gemini API free tier is not available in your country. Please enable billing on "
            "your project in Google AI Studio."
        )


def refuse_work(call: Call, model: str) -> None:
    """Raise why the model does not work just now, if the words say so."""
    words = call.behaviour
    if "empty" in words or "daily" in words:
        raise _quota("daily" not in words, words.number("empty"), model)
    if "overloaded" in words:
        raise GoogleError(503, "The model is overloaded. Please try again later.")
    if "broken" in words:
        raise internal()


def internal() -> GoogleError:
    """A fault of the vendor."""
    return GoogleError(
        500,
        "An internal error has occurred. Please retry or report in "
        "https://developers.generativeai.google/guide/troubleshooting",
    )


def _quota(per_minute: bool, wait_s: int, model: str) -> GoogleError:
    """The retry hint stands in the details; there is no Retry-After header."""
    period, value = ("Minute", "1000") if per_minute else ("Day", "250")
    message = (
        "You exceeded your current quota, please check your plan and billing details. For more "
        f"information on this error, head over to: {_LIMITS_URL}.\n* Quota exceeded for metric: "
        f"{_METRIC}, limit: {value}, model: {model}\nPlease retry in {wait_s}.0s."
    )
    violation = {
        "quotaMetric": _METRIC,
        "quotaId": f"GenerateRequestsPer{period}PerProjectPerModel-PaidTier",
        "quotaDimensions": {"location": "global", "model": model},
        "quotaValue": value,
    }
    links = [{"description": "Learn more about Gemini API quotas", "url": _LIMITS_URL}]
    return GoogleError(
        429,
        message,
        detail("QuotaFailure", violations=[violation]),
        detail("Help", links=links),
        detail("RetryInfo", retryDelay=f"{wait_s}s"),
        slug="rate_limit_exceeded" if per_minute else "quota_exceeded",
    )


def model_not_found(model: str, version: str, method: str) -> GoogleError:
    """An id that the API does not serve by this method."""
    return GoogleError(
        404,
        f"models/{model} is not found for API version {version}, or is not supported for "
        f"{method}. Call ModelService.ListModels to see the list of available models and their "
        "supported methods.",
        slug="model_not_found",
    )


def model_retired(model: str) -> GoogleError:
    """An id that the API once served."""
    return GoogleError(
        404,
        f"This model models/{model} is no longer available. Please update your code to use a "
        "newer model for the latest features and improvements.",
        slug="model_not_found",
    )


def no_such_file(file_id: str) -> GoogleError:
    """Unknown file; the API answers the same for a file of another project."""
    return GoogleError(
        403, f"You do not have permission to access the File {file_id} or it may not exist."
    )
