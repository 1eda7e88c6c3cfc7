"""URLs of the Gemini API, and its authentication headers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.domain.accounts import Account
from gateway.domain.requests import VendorCall
from gateway.net.codecs import json_body as jsonbody
from gateway.net.http.client import Answer
from gateway.upstreams.google import errors as google_errors

API = "v1beta"
VENDOR = "Gemini"
LARGEST_ANSWER = 128 * 1024 * 1024  # bytes; pictures and films come as base64 within JSON
_SECRET_HEADERS = frozenset({"authorization", "x-goog-api-key"})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`base_url` has no slash at its end; `headers` are `auth` and the type of bodies."""

    base_url: str
    auth: Mapping[str, str] = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


def endpoint_of(account: Account, default_base_url: str) -> Endpoint:
    """Keys have a header of their own; what begins like one of Google's tokens is a bearer."""
    credential = account.secret.reveal()
    if credential.startswith("ya29."):
        auth = {"Authorization": f"Bearer {credential}"}
    else:
        auth = {"x-goog-api-key": credential}
    base_url = (account.base_url or default_base_url).rstrip("/").removesuffix(f"/{API}")
    return Endpoint(base_url, auth, {**auth, "Content-Type": "application/json"})


def raise_for_status(answer: Answer, account: Account) -> None:
    google_errors.raise_for_status(answer, vendor=VENDOR, account=account)


def planned(method: str, url: str, headers: Mapping[str, str], document: Any) -> VendorCall:
    """A request as it would be sent, without the credential and the bytes of media."""
    shown = {k: "***" if k.lower() in _SECRET_HEADERS else v for k, v in headers.items()}
    return VendorCall(method, url, shown, jsonbody.redacted(document))
