"""Who is calling. Decided from the matched route, before the body is read; default deny."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any, cast

from flask import Flask

from gateway.api.context import services, state, the_request
from gateway.api.dialects.paths import dialect_at
from gateway.api.http.body import address
from gateway.domain.accounts import Caller, Secret
from gateway.domain.errors import InvalidApiKey

# Endpoints that need no credential. Everything else does, also a route nobody thought of.
PUBLIC = frozenset(
    {
        "ops.index",
        "ops.health",
        "ops.ready",
        "ops.metrics",
        "reference.openapi",
        "reference.docs",
        "media.serve",  # authorised by its signature
    }
)
_POOLED = "pooled"
_HEADERS = ("HTTP_AUTHORIZATION", "HTTP_X_API_KEY", "HTTP_API_KEY", "HTTP_X_GOOG_API_KEY")
_UNSET = frozenset({"", "undefined", "null", "none"})  # what UIs send when no key is set
_OTHER_SCHEMES = frozenset({"basic", "digest", "negotiate"})
_VENDOR_KEY = re.compile(r"[!#-+\--~]+")  # printable ASCII but for spaces, quotes and commas
_ANYONE = Caller("anonymous")


def caller() -> Caller:
    return cast(Caller, state().caller)


def register(app: Flask) -> None:
    @app.before_request
    def authenticate() -> None:
        asked = the_request()
        rule = asked.url_rule
        if rule is None or asked.method == "OPTIONS" or rule.endpoint in PUBLIC:
            return
        token = _token(asked.environ)
        if token is None and dialect_at(asked.path).reads_query_key:
            token = asked.args.get("key")
        state().caller = _identify(token)


def _token(environ: Mapping[str, Any]) -> str | None:
    """The credential as sent, None when there is none in any header."""
    for header in _HEADERS:
        sent = environ.get(header)
        if sent and (token := _bare(sent)).lower() not in _UNSET:
            return token
    return None


def _bare(text: str) -> str:
    """KEY in `Bearer KEY` and `KEY`, and in `Bearer Bearer KEY`: some UIs add the first."""
    text = text.strip()
    while text[:7].lower() in ("bearer", "bearer "):
        text = text[7:].lstrip()
    return text


def _identify(token: str | None) -> Caller:
    found = services()
    settings = found.settings
    if token is None or token.lower() == _POOLED:
        if settings.pool_access == "open":
            return _ANYONE
        raise InvalidApiKey("A gateway key is required: Authorization: Bearer KEY.")
    digest = hashlib.sha256(token.encode("latin-1")).hexdigest()  # WSGI's form of bytes
    key = found.keys.find(token, digest)
    if key is not None:
        return Caller(f"key:{key.name}", key=key)
    if not _VENDOR_KEY.fullmatch(token) or token.lower() in _OTHER_SCHEMES:
        raise found.wrong_keys.count(address()) or InvalidApiKey(
            "Send one key, as: Authorization: Bearer KEY."
        )
    if not settings.own_credentials or found.keys.owns(token, digest):
        raise found.wrong_keys.count(address()) or InvalidApiKey(
            "This key is unknown, revoked or expired."
        )
    owner = f"own:{digest}"
    stranger = found.strangers.network(owner, address())
    return Caller(owner, credential=Secret(token), stranger=stranger)
