"""Vendor errors as rows of data, and what may be said about them to a caller."""

from __future__ import annotations

import re
import time
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import quote, urlsplit

from gateway.domain.accounts import Account
from gateway.domain.errors import (
    AccountExhausted,
    AccountRejected,
    Conflict,
    ContentFiltered,
    Fault,
    Forbidden,
    GatewayError,
    InvalidApiKey,
    InvalidRequest,
    JobFailed,
    ModelNotFound,
    ModelRejected,
    RequestBlocked,
    RequestTooLarge,
    UpstreamError,
    UpstreamOverloaded,
    UpstreamTimeout,
)
from gateway.net.codecs.vendor_json import NotJson, read_json
from gateway.net.http.client import Answer
from gateway.upstreams.registry import VENDORS

_LONGEST_RETRY_AFTER_S = 3600.0  # but for quotas of a day, and for the owner of a credential
_ERROR_BODY_LIMIT = 256 * 1024
_LONGEST_READ = 4096  # characters: what is wrong stands at the beginning
_LONGEST_TEXT = 600

# Callers can make a vendor repeat long words: a pattern that has looked at much takes it, too.
_CREDENTIALS = re.compile(
    "|".join(
        (
            *(pattern for spec in VENDORS.values() for pattern in spec.secret_patterns),
            r"\bgw-[\w*-]{4,}",  # keys of the gateway
            r"\beyJ[\w-]{8,}(?:\.[\w.-]+)?",  # JSON web tokens
            r"(?<=[Bb]earer )[^\s'\",]{4,}",
        )
    )
)
# What stands in quotes is often the caller's; the last quote may have been cut off.
_QUOTED = re.compile(r"""(?<!\w)'[^']*(?:'(?!\w)|\Z)|"[^"]*(?:"|\Z)|`[^`]*(?:`|\Z)""")
_QUERY = re.compile(r"(https?://[^\s?'\"<>]+)(?:\?[^\s'\"<>]*)?")
_PATH = re.compile(r"[\w.\[\]-]{1,128}")
_OF_REQUESTS = (Fault.CALLER, Fault.CONTENT)
_RESET_AT = re.compile(
    r"reset at (\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d)(?:\.\d+)?\s*([+-]\d\d:?\d\d|Z)?", re.IGNORECASE
)


class Row(NamedTuple):
    """One rule of a vendor's table: every condition that is not None or "" must hold.

    `code` is a regular expression for the whole code, `text` one to be found in the message,
    of which each quotation has become "…"; both ignore case. The first row that holds decides,
    so narrow rows go first.

    Callers can make a vendor repeat their words in a 400, also unquoted: there a text that
    is held against the account must be a whole sentence, from "^" to "$".
    """

    status: int | None
    code: str
    text: str
    error: type[GatewayError]


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error as the vendor worded it. `status` 0: it came without one, inside an answer.

    `from_vendor` is false for pages and texts without the vendor's envelope: a proxy or a
    firewall may have written them, and they say nothing about an account.
    """

    status: int
    code: str = ""
    message: str = ""
    param: str | None = None
    retry_after: float | None = None  # seconds
    request_id: str | None = None
    from_vendor: bool = True


_BY_STATUS: Mapping[int, type[GatewayError]] = {
    401: AccountRejected,
    402: AccountRejected,
    403: AccountRejected,
    408: UpstreamTimeout,
    409: Conflict,
    413: RequestTooLarge,
    429: AccountExhausted,
    503: UpstreamOverloaded,
    504: UpstreamTimeout,
    529: UpstreamOverloaded,
}
_GENERIC: Mapping[Fault, str] = {
    Fault.ACCOUNT: "{vendor} refuses the credential or the plan of this account",
    Fault.MINUTE_QUOTA: "this account has reached its rate limit at {vendor}; try again later",
    Fault.DAY_QUOTA: "this account has used up its quota at {vendor}",
}


_private_hosts: set[str] = set()


def keep_private(base_url: str) -> None:
    """Leave the host of a vendor's own server out of all messages to callers."""
    _private_hosts.add(_host(base_url))


def _host(url: str | None) -> str:
    return (urlsplit(url or "").hostname or "").lower()


def to_error(
    refusal: Refusal, table: Sequence[Row], *, vendor: str, account: Account
) -> GatewayError:
    """The error that `table` has for a refusal; by status alone where no row fits.

    Caller and content faults carry the vendor's redacted words, all others a general
    sentence. With the caller's own credential an account fault is the caller's 401 or 403.
    `sent` is false only for a definite refusal: not for 408, 5xx or an error inside an answer.
    """
    kind = _classify(refusal, table)
    unclear = kind is InvalidRequest or kind.fault not in _OF_REQUESTS
    if unclear and not refusal.from_vendor and 400 <= refusal.status < 500:
        kind = RequestBlocked
    refusal = _without_secrets(refusal, account)
    if kind.fault is Fault.ACCOUNT and account.own:
        wrong_key = refusal.status == 401 and kind is not ModelRejected
        kind = InvalidApiKey if wrong_key else Forbidden
    status, wait_s = refusal.status, refusal.retry_after
    if wait_s is not None and kind.fault is not Fault.DAY_QUOTA and not account.own:
        wait_s = min(wait_s, _LONGEST_RETRY_AFTER_S)
    param = "model" if issubclass(kind, ModelNotFound) else refusal.param
    message = _message(kind, refusal, vendor)
    error = kind(
        message[:1].upper() + message[1:],
        param=param if kind.fault is Fault.CALLER else None,
        retry_after=wait_s,
        sent=status < 400 or status == 408 or status >= 500,
    )
    if kind is RequestBlocked and status == 429:
        error.status = status
    return error


def _without_secrets(refusal: Refusal, account: Account) -> Refusal:
    """The refusal with texts that callers may read; what is no path is no `param`."""
    secret = account.secret.reveal()
    param = refusal.param if refusal.param and _PATH.fullmatch(refusal.param) else None
    if param is not None and redact(param, secret) != param:
        param = None
    message = redact(refusal.message, secret)
    for host in {*_private_hosts, _host(account.base_url)} - {""}:
        message = re.sub(rf"(?<!\w){re.escape(host)}(:\d+)?", "***", message, flags=re.IGNORECASE)
    return replace(
        refusal,
        code=redact(refusal.code, secret),
        message=message,
        param=param,
        request_id=refusal.request_id and redact(refusal.request_id, secret),
    )


def _classify(refusal: Refusal, table: Sequence[Row]) -> type[GatewayError]:
    code, words = refusal.code[:_LONGEST_READ], _QUOTED.sub("…", _beginning(refusal.message))
    for row in table:
        if refusal.status == 0:
            # Words alone prove little where the status that goes with them is missing.
            if not row.code and (row.status is not None or not row.text):
                continue
        elif row.status is not None and row.status != refusal.status:
            continue
        if row.code and not re.fullmatch(row.code, code, re.IGNORECASE):
            continue
        if row.text and not re.search(row.text, words, re.IGNORECASE):
            continue
        return row.error
    if refusal.status in _BY_STATUS:
        return _BY_STATUS[refusal.status]
    return InvalidRequest if 400 <= refusal.status < 500 else UpstreamError


def _message(kind: type[GatewayError], refusal: Refusal, vendor: str) -> str:
    if issubclass(kind, InvalidApiKey | Forbidden):
        return f"{vendor} refuses the credential you sent: check the key, its plan and its rights"
    if generic := _GENERIC.get(kind.fault):
        return generic.format(vendor=vendor)
    if kind is RequestBlocked:
        text = refusal.message or "no reason given"
        return f"something before {vendor} refused this request (HTTP {refusal.status}): {text}"
    if kind.fault in (Fault.CALLER, Fault.CONTENT) or issubclass(kind, JobFailed):
        verb = "blocked" if issubclass(kind, ContentFiltered) else "refused"
        text = refusal.message or refusal.code or "no reason given"
        message = f"{vendor} {'failed' if issubclass(kind, JobFailed) else verb}: {text}"
    elif issubclass(kind, UpstreamOverloaded):
        message = f"{vendor} is overloaded; try again later"
    else:
        message = f"{vendor} failed" + (f" (HTTP {refusal.status})" if refusal.status else "")
    if refusal.request_id and refusal.request_id not in message:
        message += f" (request id {refusal.request_id})"
    return message


def redact(text: str, *secrets: str) -> str:
    """`text` on one line without credentials or query strings of URLs, cut to a bearable length."""
    for secret in filter(None, secrets):
        for spelling in _spellings(secret):
            text = re.sub(re.escape(spelling), "***", text, flags=re.IGNORECASE)
    text = _QUERY.sub(r"\1", _CREDENTIALS.sub("***", _beginning(text)))
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_TEXT else text[: _LONGEST_TEXT - 1] + "…"


@lru_cache(maxsize=256)
def _spellings(secret: str) -> tuple[str, ...]:
    """A credential as it is, percent-encoded, and in base64 at each of its three offsets."""
    raw = secret.encode("utf-8", "surrogateescape")
    spellings = [secret, quote(secret, safe=""), " ".join(secret)]
    for offset in range(3):
        # The first and the last characters depend on what stands beside the secret.
        encoded = b64encode(b"\0" * offset + raw).decode().rstrip("=")
        spellings.append(encoded[(0, 2, 3)[offset] : len(encoded) - 1])
    spellings += [spelling.replace("+", "-").replace("/", "_") for spelling in spellings[3:]]
    return tuple(dict.fromkeys(s for s in spellings if len(s) >= min(len(secret), 4)))


def _beginning(text: str) -> str:
    """Truncate to the part that is read, without a cut word: it may be half a credential."""
    return text if len(text) <= _LONGEST_READ else text[:_LONGEST_READ].rpartition(" ")[0]


def read_error(answer: Answer) -> Any:
    """The JSON of an error answer, its words where it is plain text; None for a page or nothing."""
    try:
        body = answer.read(_ERROR_BODY_LIMIT)
    except UpstreamError:
        return None
    try:
        return read_json(body)
    except NotJson:
        text = body.decode("utf-8", "replace").strip()
        return None if not text or "<" in text[:64] else text


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds asked for by `retry-after-ms` or `Retry-After` (seconds or an HTTP date).

    Nonsense, zero and the past count as not asked.
    """
    if (millis := _number(headers.get("retry-after-ms"))) is not None:
        wait: float | None = millis / 1000
    else:
        value = headers.get("retry-after")
        wait = _number(value)
        if wait is None and value:
            wait = _until(value, date_s(headers))
    return wait if wait is not None and wait > 0 else None


def reset_after_s(message: str, *, now: float | None = None) -> float | None:
    """Seconds until the moment in "... reset at 2026-09-04 17:00:00 +0800 ..." (UTC if no zone)."""
    found = _RESET_AT.search(message)
    if found is None:
        return None
    zone = (found[2] or "+0000").upper().replace("Z", "+0000").replace(":", "")
    try:
        moment = datetime.strptime(f"{found[1].replace('T', ' ')} {zone}", "%Y-%m-%d %H:%M:%S %z")
    except ValueError:
        return None
    wait = moment.timestamp() - (time.time() if now is None else now)
    return wait if wait > 0 else None


def _number(value: str | None) -> float | None:
    if value is None or not re.fullmatch(r"\s*\d{1,12}(\.\d{1,9})?\s*", value, re.ASCII):
        return None
    return float(value)


def date_s(headers: Mapping[str, str]) -> float | None:
    """Time of the vendor's response, in unix seconds by its own clock."""
    moment = _moment(headers.get("date") or "")
    return None if moment is None else moment.timestamp()


def _until(http_date: str, now: float | None) -> float | None:
    moment = _moment(http_date)
    if moment is None:
        return None
    return moment.timestamp() - (time.time() if now is None else now)


def _moment(http_date: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(http_date)
    except (ValueError, TypeError, IndexError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
