"""Request envelope of the Gemini API: credentials, and the words of their accounts."""

from __future__ import annotations

from flask import Blueprint, Response, request

from gateway.simulators.calls import Call, receive
from gateway.simulators.connection import ClientLeft
from gateway.simulators.gemini import errors
from gateway.simulators.gemini.models import EMBED, Model, find, is_retired
from gateway.simulators.google.errors import GoogleError
from gateway.simulators.google.http import google_json, not_routed
from gateway.simulators.google.tokens import InvalidToken, identity_of

VERSION = "<any(v1, v1beta):version>"

bp = Blueprint("gemini", __name__)


def open_call(operation: str, body: object = None, *, main: bool = False) -> Call:
    """Count the request and check its credential; raises GoogleError."""
    credential, problem = _credential()
    call = receive(f"gemini.{operation}", credential, body, main=main)
    if problem is None and "wrong" in call.behaviour:
        problem = errors.key_invalid()
    if problem is not None:
        raise problem
    errors.refuse_account(call)
    return call


def model_of(model_id: str, version: str, method: str) -> Model:
    """Return a model that generates by `method`; raises GoogleError."""
    if is_retired(model_id):
        raise errors.model_retired(model_id)
    model = find(model_id, version)
    if model is None or not _serves(model, method):
        raise errors.model_not_found(model_id, version, method)
    return model


def _serves(model: Model, method: str) -> bool:
    if method == "createInteraction":
        return model.kind != "embedding"
    if method in EMBED or model.kind in ("video", "embedding"):
        return method in model.methods
    return True


def _credential() -> tuple[str, GoogleError | None]:
    key = request.headers.get("x-goog-api-key") or request.args.get("key")
    if key:
        return key, None
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        return "", errors.key_missing()
    try:
        return identity_of(token), None
    except InvalidToken as problem:
        return token, errors.token_invalid(problem)


@bp.errorhandler(GoogleError)
def refuse(error: GoogleError) -> Response:
    """Answer with the error; a stream without `alt=sse` is an array, and so is its error."""
    in_array = "streamGenerateContent" in request.path and request.args.get("alt") != "sse"
    response = google_json([error.body()] if in_array else error.body(), error.code)
    if request.args.get("upload_id"):
        # Without this header Google's own client sends the bytes again, and again.
        response.headers["X-Goog-Upload-Status"] = "final"
    return response


@bp.errorhandler(ClientLeft)
def client_left(_: ClientLeft) -> Response:
    """Return status 499, which only the ledger records."""
    return Response(status=499)


@bp.route("/", defaults={"rest": ""}, methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
@bp.route("/<path:rest>", methods=["GET", "POST", "PUT", "PATCH", "DELETE"])
def unknown(rest: str) -> Response:
    """Answer unknown paths and methods."""
    return not_routed()
