"""The blueprint of the console: its frame, its guard, its errors."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, Response, g, make_response, redirect, render_template, request
from flask.typing import ResponseReturnValue
from werkzeug.wrappers import Response as Answer

from gateway.api import sessions
from gateway.api.console.words import LANGUAGES, language, translator
from gateway.api.context import RequestContext, current
from gateway.api.sessions import Session
from gateway.domain.errors import Forbidden, GatewayError, NotFound
from gateway.domain.version import VERSION

bp = Blueprint(
    "console",
    __name__,
    url_prefix="/console",
    template_folder="templates",
    static_folder="static",
)

_OPEN = frozenset({"console.static", "console.sign_in", "console.enter", "console.speak"})
_FOR_ALL = (
    ("overview", "Overview"),
    ("playground", "Playground"),
    ("gallery", "Gallery"),
    ("jobs", "Jobs"),
    ("requests", "Requests"),
    ("models", "Models"),
)
_FOR_ADMINS = (("accounts", "Accounts"), ("keys", "Keys"), ("audit", "Audit log"))


def signed_in() -> Session:
    """The session of the page that is being made."""
    session: Session = g.console_session
    return session


def require_admin() -> Session:
    session = signed_in()
    if not session.is_admin:
        raise Forbidden("This page is for operators: sign in with an admin key.")
    return session


@bp.before_request
def guard() -> ResponseReturnValue | None:
    """Everything but the sign-in needs a session, and every change its CSRF token."""
    context = current()
    if context.endpoint in _OPEN:
        return None
    session = sessions.session_of(context)
    if session is None:
        if sessions.is_open(context) and context.method == "GET":
            response = redirect(request.full_path.rstrip("?"))
            sessions.begin(context, response, None)  # type: ignore[arg-type]
            return response
        return redirect("/console/sign-in")
    g.console_session = session
    if context.method != "GET":
        session.check(request.form.get("csrf", ""))
    return None


@bp.after_request
def protect(response: Response) -> Response:
    context = current()
    media = _media_sources(context)
    response.headers["Content-Security-Policy"] = (
        f"default-src 'self'; img-src 'self' data: blob: {media}; media-src 'self' blob: {media}; "
        "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    if context.endpoint == "console.static":
        response.headers["Cache-Control"] = "max-age=3600"
    else:
        response.headers["Cache-Control"] = "no-store"
    return response


@bp.errorhandler(GatewayError)
def failed(err: GatewayError) -> ResponseReturnValue:
    current().trace.error = err
    answer = make_response(page("error.html", error=err), err.status)
    if err.retry_after is not None:
        answer.headers["Retry-After"] = str(max(1, int(err.retry_after)))
    return answer


@bp.get("/<path:anything>")
def nothing(anything: str) -> ResponseReturnValue:
    raise NotFound("There is no such page.")


def page(template: str, **values: Any) -> str:
    """A page in the reader's language, within the frame."""
    context, session = current(), g.get("console_session")
    chosen = language()
    views = [*_FOR_ALL, *(_FOR_ADMINS if session is not None and session.is_admin else ())]
    return render_template(
        f"console/{template}",
        _=translator(chosen),
        language=chosen,
        languages=LANGUAGES,
        session=session,
        views=views if session is not None else (),
        here=(context.endpoint or "").partition(".")[2],
        demo=context.services.settings.demo,
        currency=context.services.settings.money.currency,
        version=VERSION,
        now=time.time(),
        **values,
    )


@bp.app_template_filter("iso")
def _iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@bp.app_template_filter("plain_time")
def _plain_time(at: float) -> str:
    """For readers without scripts; with them it is in their own zone."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M UTC")


@bp.app_template_filter("money")
def _money(amount: float | None) -> str:
    """Two digits, and as many as a small amount needs to be one."""
    if amount is None:
        return "–"
    if amount == 0 or abs(amount) >= 0.1:
        return f"{amount:,.2f}"
    return f"{amount:.6f}".rstrip("0")


@bp.app_template_filter("count")
def _count(number: float | None) -> str:
    return "–" if number is None else f"{number:,.0f}"


def see_other(path: str) -> Answer:
    """Back to a page after a change, so that loading it again changes nothing."""
    return redirect(path, 303)


def _media_sources(context: RequestContext) -> str:
    """Where media may come from besides this server: a public address, or a bucket."""
    settings = context.services.settings
    if settings.media.startswith("s3:"):
        return "https:"
    return settings.public_url or ""
