"""Request envelope of Gemini Enterprise: access tokens and resource names."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from flask import Blueprint, Response, request

from gateway.simulators.calls import Call, receive
from gateway.simulators.connection import ClientLeft
from gateway.simulators.gemini_enterprise import errors
from gateway.simulators.google.errors import GoogleError, invalid
from gateway.simulators.google.http import google_json, not_routed
from gateway.simulators.google.tokens import InvalidToken, identity_of

VERSION = "<any(v1, v1beta, v1alpha):version>"
ENGINE = "projects/<project>/locations/<location>/collections/<collection>/engines/<engine_id>"

_METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE"]
_ENGINE = re.compile(r"projects/([^/]+)/locations/([a-z0-9-]+)/collections/([^/]+)/engines/([^/]+)")

bp = Blueprint("gemini_enterprise", __name__)


@dataclass(frozen=True, slots=True)
class Engine:
    """An engine by its canonical name: the project is a number, whatever was sent."""

    name: str

    @classmethod
    def of(cls, project: str, location: str, collection: str, engine_id: str) -> Engine:
        """Return an engine; any exists, but for `missing` and for other collections."""
        name = (
            f"projects/{_number(project)}/locations/{location}"
            f"/collections/{collection}/engines/{engine_id}"
        )
        if collection != "default_collection":
            raise errors.not_found("Collection", name.rpartition("/engines/")[0])
        if engine_id == "missing":
            raise errors.not_found("Engine", name)
        return cls(name)

    def session_name(self, given: str) -> str:
        """Return the canonical name of a session that a request names.

        Raises GoogleError unless it is a session of this engine.
        """
        parent, _, session_id = given.rpartition("/sessions/")
        match = _ENGINE.fullmatch(parent)
        if match is None or not session_id or "/" in session_id:
            raise invalid(f'Field "session" is invalid: {given} is not the name of a session.')
        if Engine.of(*match.groups()).name != self.name:
            raise invalid(f'Field "session" is invalid: {given} belongs to another engine.')
        return f"{self.name}/sessions/{session_id}"


def open_call(operation: str, body: object = None, *, main: bool = False) -> tuple[Call, Engine]:
    """Count the request, check its bearer and find its engine; raises GoogleError."""
    credential, problem = _credential()
    call = receive(f"gemini_enterprise.{operation}", credential, body, main=main)
    if problem is not None:
        raise problem
    names = request.view_args or {}
    engine = Engine.of(*(names[key] for key in ("project", "location", "collection", "engine_id")))
    errors.refuse_account(call, engine.name)
    return call, engine


def _credential() -> tuple[str, GoogleError | None]:
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        return "", errors.unauthenticated("CREDENTIALS_MISSING")
    try:
        return identity_of(token), None
    except InvalidToken as problem:
        return token, errors.unauthenticated(problem.reason)


def _number(project: str) -> str:
    """Return the number of a project, made up from its id."""
    if project.isdecimal():
        return project
    return str(10**11 + int(hashlib.sha256(project.encode()).hexdigest(), 16) % (9 * 10**11))


@bp.errorhandler(GoogleError)
def refuse(error: GoogleError) -> Response:
    """Answer with the error; a stream is an array, and so is its error."""
    in_array = request.path.endswith(":streamAssist")
    return google_json([error.body()] if in_array else error.body(), error.code)


@bp.errorhandler(ClientLeft)
def client_left(_: ClientLeft) -> Response:
    """Return status 499, which only the ledger records."""
    return Response(status=499)


@bp.route("/", defaults={"rest": ""}, methods=_METHODS)
@bp.route("/<path:rest>", methods=_METHODS)
def unknown(rest: str) -> Response:
    """Answer unknown paths and methods."""
    return not_routed()
