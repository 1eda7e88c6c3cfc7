"""Sessions of the console: a signed cookie that names a key, for twelve hours."""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from ipaddress import ip_address
from secrets import token_urlsafe

from flask import Response
from itsdangerous import BadSignature, URLSafeTimedSerializer
from werkzeug.http import parse_cookie

from gateway.api.context import RequestContext
from gateway.domain.accounts import Caller, GatewayKey
from gateway.domain.errors import Forbidden

COOKIE = "gateway_console"
TTL_S = 12 * 3600
CSRF_HEADER = "HTTP_X_CSRF_TOKEN"
_DEMO = "demo"
_MARK = 16  # characters of the key's digest, by which another key of the same name is told apart
_LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True, slots=True)
class Session:
    """`csrf` must come with every change; `key` is None in the open demo."""

    name: str
    csrf: str
    key: GatewayKey | None

    @property
    def is_admin(self) -> bool:
        return self.key is None or self.key.admin

    @property
    def caller(self) -> Caller:
        return Caller("anonymous") if self.key is None else Caller(f"key:{self.name}", key=self.key)

    def check(self, token: str) -> None:
        """Raises Forbidden."""
        if not hmac.compare_digest(token.encode(), self.csrf.encode()):
            raise Forbidden("The page is out of date; load it again.", code="csrf_failed")


def session_of(context: RequestContext) -> Session | None:
    """The session of the request's cookie, if its key is still valid."""
    cookie = parse_cookie(context.environ).get(COOKIE)
    if not cookie:
        return None
    try:
        content = _serializer(context).loads(cookie, max_age=TTL_S)
    except BadSignature:
        return None
    if content["name"] == _DEMO and not content["mark"]:
        return Session(_DEMO, content["csrf"], None) if is_open(context) else None
    key = context.services.keys.named(content["name"])
    if key is None or key.digest[:_MARK] != content["mark"]:
        return None
    return Session(key.name, content["csrf"], key)


def begin(context: RequestContext, response: Response, key: GatewayKey | None) -> Session:
    """Set the cookie of a new session; without a key, of the open demo."""
    session = Session(key.name if key else _DEMO, token_urlsafe(24), key)
    mark = key.digest[:_MARK] if key else ""
    content = {"name": session.name, "mark": mark, "csrf": session.csrf}
    response.set_cookie(
        COOKIE,
        _serializer(context).dumps(content),
        max_age=TTL_S,
        httponly=True,
        samesite="Strict",
        secure=context.environ["wsgi.url_scheme"] == "https",
    )
    return session


def end(response: Response) -> None:
    response.delete_cookie(COOKIE, httponly=True, samesite="Strict")


def caller_of(context: RequestContext) -> Caller | None:
    """The caller of an API request that a page of the console makes.

    Such a request carries the CSRF token, which no other site's page can send.
    """
    session = session_of(context)
    if session is None:
        return None
    session.check(context.environ.get(CSRF_HEADER, ""))
    return session.caller


def is_open(context: RequestContext) -> bool:
    """True in demo mode without admin keys, for a browser on the same machine."""
    settings, environ = context.services.settings, context.environ
    if not settings.demo or any(key.admin for key in settings.keys):
        return False
    host = str(environ.get("HTTP_HOST", "")).rpartition(":")[0] or environ.get("HTTP_HOST", "")
    try:
        return ip_address(context.client_address).is_loopback and host in _LOCAL_NAMES
    except ValueError:
        return False


def _serializer(context: RequestContext) -> URLSafeTimedSerializer:
    keys = [key.reveal() for key in reversed(context.services.settings.secret_keys)]
    return URLSafeTimedSerializer(keys, salt="gateway.console")  # the last of the keys signs
