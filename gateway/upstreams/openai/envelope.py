"""Errors of OpenAI's protocol: its envelope, and the forms that its imitators give it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.domain.accounts import Account
from gateway.domain.errors import ContentFiltered, GatewayError, UpstreamInvalidResponse
from gateway.net.http.client import Answer
from gateway.upstreams.errors import Refusal, Row, read_error, redact, retry_after_s, to_error

_ENVELOPE = ("error", "errors")
_BARE = ("message", "detail", "error_message", "msg")  # without an envelope
_LONGEST_QUOTE = 300  # characters of the model's own words in an error
_ABOUT_ACCOUNT = re.compile(
    r"\b(api|access|secret|subscription)[ _-]?keys?\b|authori[sz]|authenticat|credential|token"
    r"|permission|account|billing|balance|subscri|plan\b|quota",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Envelope:
    """Reads the errors of one vendor of this protocol."""

    vendor: str  # as callers know it
    table: Sequence[Row]

    def refusal(self, status: int, headers: Mapping[str, str], body: Any) -> Refusal:
        """Read an error: an object, a list of one, a text beside any envelope, or nothing."""
        wait_s, request_id = retry_after_s(headers), headers.get("x-request-id")
        if isinstance(body, list) and body:
            body = body[0]
        if not isinstance(body, dict):
            words = body if isinstance(body, str) else ""
            return Refusal(status, "", words, None, wait_s, request_id, from_vendor=False)
        error = _innermost(body)
        code, message, param = error.get("code"), error.get("message"), error.get("param")
        if status == 0:
            status = _status(code) or _status(error.get("status"))
        if not isinstance(code, str) or not code or code.isdigit():
            code = error.get("type") or error.get("status") or ""
        if not isinstance(message, str) or not message:
            message = _message(error, body)
        return Refusal(
            status,
            code if isinstance(code, str) else "",
            message,
            param if isinstance(param, str) and param else None,
            wait_s,
            request_id,
            from_vendor=_is_vendors(status, body, message),
        )

    def error(self, refusal: Refusal, account: Account) -> GatewayError:
        return to_error(refusal, self.table, vendor=self.vendor, account=account)

    def failure(self, answer: Answer, account: Account) -> GatewayError:
        """The error of an answer whose status is not 200."""
        return self.error(self.refusal(answer.status, answer.headers, read_error(answer)), account)

    def reported(self, body: Any, account: Account) -> GatewayError | None:
        """The error that an answer with status 200 reports in its body, if it does."""
        if isinstance(body, list) and len(body) == 1:
            body = body[0]
        if not isinstance(body, dict):
            return self.invalid("is no JSON object")
        if not body.get("error"):
            results = body.get("choices") or body.get("data")
            failed = body.get("errors") or "error" in (body.get("object"), body.get("type"))
            if results or not failed:
                return None
        error = self.error(self.refusal(0, {}, body), account)
        error.sent = True
        return error

    def no_image(self, body: Any, account: Account) -> GatewayError:
        """The error of an answer without an image, in the model's own words where it says why."""
        words = _message({}, body) if isinstance(body, dict) else ""
        if words := redact(words, account.secret.reveal()):
            quote = words[:_LONGEST_QUOTE]
            return ContentFiltered(f"{self.vendor} made no image and said: {quote}", sent=True)
        return self.invalid("has no image")

    def invalid(self, how: str) -> UpstreamInvalidResponse:
        return UpstreamInvalidResponse(f"The answer of {self.vendor} {how}", sent=True)


def listed(value: Any) -> list[dict[str, Any]]:
    """The objects of a list; one object that stands alone counts as a list of one."""
    if isinstance(value, dict):
        return [value]
    if value is None:
        return []
    if isinstance(value, list):
        items = [single(item) for item in value]
        if all(isinstance(item, dict) for item in items):
            return items
    raise TypeError("no list of objects")


def single(value: Any) -> Any:
    """The value itself, or the one that stands in a list of its own."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def checked_text(value: Any) -> str:
    """The value, which has to be text. Raises TypeError."""
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


def images_in(answer: Any) -> list[dict[str, Any]]:
    """The entries of an image API's answer, each once; what is no object has no image."""
    data = answer.get("data") if isinstance(answer, dict) else None
    found: list[dict[str, Any]] = []
    for entry in data if isinstance(data, list) else [data]:
        image = single(entry)
        if isinstance(image, dict) and image not in found:
            found.append(image)
    return found


def _is_vendors(status: int, body: Mapping[str, Any], message: str) -> bool:
    """Tell the vendor's error from the JSON of a firewall or a content network before it.

    Some servers have no envelope: their 403 is theirs where it speaks of keys and rights.
    """
    if "cloudflare_error" in body:
        return False
    if any(body.get(name) for name in _ENVELOPE):
        return True
    if status == 403 and not _ABOUT_ACCOUNT.search(message):
        return False
    return any(body.get(name) for name in _BARE)


def _innermost(body: dict[str, Any]) -> dict[str, Any]:
    """The error within `error`, `errors` or both, as some proxies wrap it again."""
    error: dict[str, Any] = body
    for _ in range(3):
        inner = error.get("error") or error.get("errors")
        if isinstance(inner, list) and inner:
            inner = inner[0]
        if isinstance(inner, str):
            return {**error, "message": inner}
        if not isinstance(inner, dict):
            return error
        error = inner
    return error


def _message(error: Mapping[str, Any], body: Mapping[str, Any]) -> str:
    for source in (error, body):
        for name in ("message", "detail", "error_message", "msg"):
            value = source.get(name)
            if isinstance(value, list) and value:  # FastAPI's list of what is wrong
                value = value[0]
            if isinstance(value, dict):
                value = value.get("msg") or value.get("message") or str(value)
            if isinstance(value, str) and value:
                return value
    return ""


def _status(value: Any) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value[:4])
    return value if type(value) is int and 400 <= value < 600 else 0
