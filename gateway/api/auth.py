"""Who is calling. Decided from the matched route, before the body is read; default deny."""

from __future__ import annotations

import hashlib
from typing import cast

from flask import Flask, g, request

from gateway.api.wire import address, services
from gateway.domain.accounts import Caller, Secret
from gateway.domain.errors import InvalidApiKey
from gateway.stores.keys import MADE_PREFIX

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
_UNSET = frozenset({"", "undefined", "null", "none"})  # what UIs send when no key is set
_ANYONE = Caller("anonymous")


def caller() -> Caller:
    return cast(Caller, g.caller)


def register(app: Flask) -> None:
    @app.before_request
    def authenticate() -> None:
        rule = request.url_rule
        if rule is None or request.method == "OPTIONS" or rule.endpoint in PUBLIC:
            return
        g.caller = _identify(_token())


def _token() -> str | None:
    """The credential as sent, None when there is none. Raises InvalidApiKey on a broken one."""
    header = request.environ.get("HTTP_AUTHORIZATION")
    if header is None:
        header = request.environ.get("HTTP_X_API_KEY") or request.environ.get("HTTP_API_KEY")
        token = header or ""
    else:
        scheme, _, token = header.strip().partition(" ")
        if scheme.lower() != "bearer":
            if token or scheme.lower() in ("basic", "digest", "negotiate"):
                raise InvalidApiKey("Send the key as: Authorization: Bearer KEY.")
            token = scheme  # a bare key
    token = token.strip()
    if token.lower() in _UNSET:
        return None
    if not token.isascii() or not token.isprintable() or " " in token or "," in token:
        raise InvalidApiKey("The key has characters that no key has.")
    return token


def _identify(token: str | None) -> Caller:
    found = services()
    settings = found.settings
    if token is None or token == _POOLED:
        if settings.pool_access == "open":
            return _ANYONE
        raise InvalidApiKey("A gateway key is required: Authorization: Bearer KEY.")
    digest = hashlib.sha256(token.encode()).hexdigest()
    key = found.keys.find(token, digest)
    if key is not None:
        return Caller(f"key:{key.name}", key=key)
    if token.startswith(MADE_PREFIX) or not settings.own_credentials:
        raise found.wrong_keys.count(address()) or InvalidApiKey(
            "This key is unknown, revoked or expired."
        )
    return Caller(f"own:{digest}", credential=Secret(token))
