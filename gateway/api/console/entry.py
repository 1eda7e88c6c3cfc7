"""Signing in and out, and the reader's language."""

from __future__ import annotations

import hashlib

from flask import make_response, redirect, request
from flask.typing import ResponseReturnValue

from gateway.api import sessions
from gateway.api.console.site import bp, page, see_other, signed_in
from gateway.api.console.words import COOKIE, LANGUAGES
from gateway.api.context import current
from gateway.domain.errors import GatewayError

_YEAR_S = 365 * 86400


@bp.get("/sign-in")
def sign_in() -> ResponseReturnValue:
    """Ask for a key."""
    context = current()
    if sessions.session_of(context) is not None or sessions.is_open(context):
        return redirect("/console")
    return page("sign_in.html", refused=None)


@bp.post("/sign-in")
def enter() -> ResponseReturnValue:
    """Begin a session with a key of the gateway."""
    context = current()
    services = context.services
    services.limits.check_sign_in(context.client_address)
    token = request.form.get("key", "").strip()
    key = None
    if request.headers.get("Sec-Fetch-Site", "same-origin") in ("same-origin", "none"):
        digest = hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
        try:
            key = services.keys.find(token, digest) if token else None
        except GatewayError as err:
            return make_response(page("sign_in.html", refused=err.message), err.status)
    if key is None:
        services.limits.count_sign_in(context.client_address)
        return make_response(page("sign_in.html", refused="This key is not valid."), 401)
    response = make_response(see_other("/console"))
    sessions.begin(context, response, key)
    services.audit.add(key.name, "console.sign_in", key.name)
    return response


@bp.post("/sign-out")
def sign_out() -> ResponseReturnValue:
    """End the session."""
    signed_in()
    response = make_response(see_other("/console/sign-in"))
    sessions.end(response)
    return response


@bp.get("/speak/<name>")
def speak(name: str) -> ResponseReturnValue:
    """Choose the language of the pages."""
    response = make_response(redirect(_back()))
    if name in LANGUAGES:
        response.set_cookie(COOKIE, name, max_age=_YEAR_S, samesite="Strict", httponly=True)
    return response


def _back() -> str:
    """The page of the console that the reader was on."""
    _, _, path = (request.referrer or "").partition(request.host)
    return path if path.startswith("/console") else "/console"
