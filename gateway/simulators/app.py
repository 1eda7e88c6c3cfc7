"""All vendors as one Flask app, with the ledger and the controls beside them."""

from __future__ import annotations

from flask import Flask, Response, request

from gateway.simulators import oddities
from gateway.simulators.ark import bp as ark
from gateway.simulators.calls import json_response, watch
from gateway.simulators.gemini import bp as gemini
from gateway.simulators.gemini_enterprise import bp as gemini_enterprise
from gateway.simulators.google.tokens import bp as tokens
from gateway.simulators.openai import bp as openai
from gateway.simulators.state import current_state, install

_VENDORS = (
    (ark, "/ark/api/v3"),
    (gemini, "/gemini"),
    (gemini_enterprise, "/gemini-enterprise"),
    (openai, "/openai/v1"),
    (tokens, ""),
)
_CREDENTIAL_HEADERS = ("Authorization", "x-goog-api-key")


def create_app() -> Flask:
    """Build an app with its own state; any number of them can live in one process."""
    app = Flask("simulators", static_folder=None)
    install(app)
    watch(app, change=oddities.apply)
    for blueprint, prefix in _VENDORS:
        app.register_blueprint(blueprint, url_prefix=prefix or None)
    app.get("/_ledger")(_ledger)
    app.post("/_control/reset")(_reset)
    app.post("/_control/release")(_release)
    app.get("/_control/waiting")(_waiting)
    app.get("/_media/<token>/<name>")(_media)
    return app


def _ledger() -> Response:
    """Return the ledger; `?requests=0` leaves the list of requests out."""
    return json_response(current_state().snapshot(requests=request.args.get("requests") != "0"))


def _reset() -> Response:
    current_state().reset()
    return json_response({})


def _release() -> Response:
    """Let `n` pieces of the gated streams of `credential` through."""
    current_state().gates.release(request.args["credential"], request.args.get("n", 1, int))
    return json_response({})


def _waiting() -> Response:
    """Return how many pieces the gated streams of `credential` have sent."""
    return json_response({"sent": current_state().gates.sent(request.args["credential"])})


def _media(token: str, name: str) -> Response:
    """Serve an object, or a range of it, by its signed URL alone."""
    state = current_state()
    for header in _CREDENTIAL_HEADERS:
        if header in request.headers:
            state.ledger.violation(f"{header} was sent to the signed media URL of {name}")
            return _access_denied("A signed URL takes no other credential.")
    if request.method != "GET":
        return _access_denied("The URL was signed for GET.")
    if state.media.is_late(token):
        text = "<Error><Code>NoSuchKey</Code><Message>No such object.</Message></Error>"
        return Response(text, 404, content_type="application/xml")
    args = request.args
    item = state.media.find(token, name, args.get("expires", ""), args.get("signature", ""))
    if item is None:
        return _access_denied("The signature is not valid or has expired.")
    response = Response(item.read(), mimetype=item.mime)
    response.add_etag()
    response.make_conditional(request, accept_ranges=True, complete_length=response.content_length)
    return response


def _access_denied(message: str) -> Response:
    text = f"<Error><Code>AccessDenied</Code><Message>{message}</Message></Error>"
    return Response(text, 403, content_type="application/xml")
