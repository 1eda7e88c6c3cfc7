"""Authentication: decided from the matched route, before the body is read; default deny."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

from gateway.api.context import RequestContext
from gateway.api.dialects.paths import dialect_at
from gateway.api.sessions import CSRF_HEADER, caller_of
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
_CONSOLE = "console."
_HEADERS = ("HTTP_AUTHORIZATION", "HTTP_X_API_KEY", "HTTP_API_KEY", "HTTP_X_GOOG_API_KEY")
_UNSET = frozenset({"", "undefined", "null", "none"})  # what UIs send when no key is set
_OTHER_SCHEMES = frozenset({"basic", "digest", "negotiate"})
_VENDOR_KEY = re.compile(r"[!#-+\--~]+")  # printable ASCII but for spaces, quotes and commas
_ANONYMOUS = Caller("anonymous")


def needs_credential(context: RequestContext) -> bool:
    endpoint = context.endpoint
    if endpoint is None or endpoint in PUBLIC or context.method == "OPTIONS":
        return False
    return not endpoint.startswith(_CONSOLE)  # it has sessions


def authenticate(context: RequestContext) -> None:
    """Set the caller, or the refusal. Raises StorageUnavailable."""
    environ = context.environ
    token = _token(environ)
    if token is None and "key=" in environ.get("QUERY_STRING", ""):
        token = _query_key(context)
    if token is None and CSRF_HEADER in environ:
        caller = caller_of(context)
        if caller is not None:
            context.caller = caller
            return
    try:
        context.caller = _caller(context, token)
    except InvalidApiKey as err:
        context.refusal = err


def _token(environ: Mapping[str, Any]) -> str | None:
    """The credential as sent, None when there is none in any header."""
    for header in _HEADERS:
        sent = environ.get(header)
        if sent and (token := _without_scheme(sent)).lower() not in _UNSET:
            return token
    return None


def _query_key(context: RequestContext) -> str | None:
    if not dialect_at(context.path).reads_query_key:
        return None
    return next(iter(parse_qs(context.environ["QUERY_STRING"]).get("key", ())), None)


def _without_scheme(text: str) -> str:
    """KEY in `Bearer KEY` and `KEY`, and in `Bearer Bearer KEY`: some UIs add the first."""
    text = text.strip()
    while text[:7].lower() in ("bearer", "bearer "):
        text = text[7:].lstrip()
    return text


def _caller(context: RequestContext, token: str | None) -> Caller:
    services = context.services
    settings, keys = services.settings, services.keys
    if token is None or token.lower() == _POOLED:
        if settings.pool_access == "open":
            return _ANONYMOUS
        raise InvalidApiKey("A gateway key is required: Authorization: Bearer KEY.")
    digest = hashlib.sha256(token.encode("latin-1", "replace")).hexdigest()  # WSGI's form of bytes
    key = keys.find(token, digest)
    if key is not None:
        return Caller(f"key:{key.name}", key=key)
    context.unknown_credential = True
    if not _VENDOR_KEY.fullmatch(token) or token.lower() in _OTHER_SCHEMES:
        raise InvalidApiKey("Send one key, as: Authorization: Bearer KEY.")
    if not settings.own_credentials or keys.owns(token, digest):
        raise InvalidApiKey("This key is unknown, revoked or expired.")
    return Caller(f"own:{digest}", credential=Secret(token))
