"""Sessions: create, get, list, patch, delete."""

from __future__ import annotations

import re
from typing import Any

from flask import Response, request

from gateway.simulators.gemini_enterprise.errors import not_found
from gateway.simulators.gemini_enterprise.filters import condition_of, order_by
from gateway.simulators.gemini_enterprise.protocol import ENGINE, VERSION, Engine, bp, open_call
from gateway.simulators.gemini_enterprise.schemas import SESSION
from gateway.simulators.gemini_enterprise.store import Session, Sessions, new_id
from gateway.simulators.google.errors import GoogleError, invalid
from gateway.simulators.google.http import (
    check_query,
    google_json,
    json_body,
    not_routed,
    page,
    page_size,
    read_payload,
)
from gateway.simulators.google.protojson import snake
from gateway.simulators.state import current_state

_ID = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_CHANGEABLE = ("displayName", "userPseudoId", "labels", "isPinned")


@bp.post(f"/{VERSION}/{ENGINE}/sessions")
def create_session(version: str, **names: str) -> Response:
    """Open a session."""
    body = json_body()
    call, engine = open_call("sessions.create", body)
    check_query("sessionId", "session_id")
    given = read_payload(SESSION, body)
    session_id = request.args.get("sessionId") or request.args.get("session_id") or new_id()
    if not _ID.fullmatch(session_id):
        raise invalid(f'Field "session_id" is invalid: {session_id}')
    return google_json(open_session(engine, call.credential, given, session_id).view())


@bp.get(f"/{VERSION}/{ENGINE}/sessions")
def list_sessions(version: str, **names: str) -> Response:
    """List the caller's sessions."""
    call, engine = open_call("sessions.list")
    check_query("pageSize", "pageToken", "filter", "orderBy")
    wanted = condition_of(request.args.get("filter", ""))
    found = [
        one
        for one in current_state().store(Sessions).of(engine.name, call.credential)
        if wanted(one)
    ]
    found = order_by(found, request.args.get("orderBy", ""))
    shown, next_token = page(found, page_size("pageSize", 50, 1000))
    answer: dict[str, Any] = {"sessions": [one.view() for one in shown]} if shown else {}
    if next_token:
        answer["nextPageToken"] = next_token
    return google_json(answer)


@bp.get(f"/{VERSION}/{ENGINE}/sessions/<session_id>")
def get_session(version: str, session_id: str, **names: str) -> Response:
    """Show a session with its turns."""
    call, engine = open_call("sessions.get")
    check_query("includeAnswerDetails")
    session = own_session(engine, session_id, call.credential)
    details = request.args.get("includeAnswerDetails", "").lower() == "true"
    return google_json(session.view(turns=True, details=details))


@bp.patch(f"/{VERSION}/{ENGINE}/sessions/<session_id>")
def patch_session(version: str, session_id: str, **names: str) -> Response:
    """Change the fields that `updateMask` names, or all that are given."""
    body = json_body()
    call, engine = open_call("sessions.patch", body)
    check_query("updateMask")
    given = read_payload(SESSION, body)
    session = own_session(engine, session_id, call.credential)
    mask = [name for name in request.args.get("updateMask", "").split(",") if name]
    known = {snake(name): name for name in _CHANGEABLE} | {name: name for name in _CHANGEABLE}
    for name in mask:
        if name not in known:
            raise invalid(f'Field "update_mask" is invalid: {name} cannot be updated.')
    for name in [known[name] for name in mask] or [name for name in given if name in known]:
        session.given[name] = given.get(name)
    return google_json(session.view())


@bp.delete(f"/{VERSION}/{ENGINE}/sessions/<session_id>")
def delete_session(version: str, session_id: str, **names: str) -> Response:
    """Delete a session with its files."""
    call, engine = open_call("sessions.delete")
    check_query()
    if current_state().store(Sessions).was_deleted(f"{engine.name}/sessions/{session_id}"):
        call.ledger.violation(f"session {session_id} was deleted twice")
    session = own_session(engine, session_id, call.credential)
    if not current_state().store(Sessions).remove(session):
        raise not_found("Session", session.name)
    return google_json({})


@bp.route(f"/{VERSION}/{ENGINE}/sessions/<session_id>:<method>", methods=["GET", "DELETE"])
def unknown_method(version: str, session_id: str, method: str, **names: str) -> Response:
    """Refuse method names that are not routed."""
    return not_routed()


def open_session(
    engine: Engine, owner: str, given: dict[str, Any], session_id: str | None = None
) -> Session:
    """Open a session; raises GoogleError when there is one of this id."""
    name = f"{engine.name}/sessions/{session_id or new_id()}"
    fields = {key: value for key, value in given.items() if key in _CHANGEABLE}
    session = current_state().store(Sessions).create(name, owner, fields)
    if session is None:
        raise GoogleError(409, f"Session {name} already exists.")
    return session


def own_session(engine: Engine, session_id: str, owner: str) -> Session:
    """Return a session of the caller; raises GoogleError."""
    name = f"{engine.name}/sessions/{session_id}"
    session = current_state().store(Sessions).find(name)
    if session is None:
        raise not_found("Session", name)
    if session.owner != owner:
        raise GoogleError(403, "Session is not owned by the provided user.")
    return session
