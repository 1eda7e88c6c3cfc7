"""The Interactions API: at once, in the background, or as a stream of events.

Errors have codes of their own here. https://ai.google.dev/gemini-api/docs/api-errors
"""

from __future__ import annotations

from flask import Blueprint, Response, request

from gateway.simulators.calls import Call, stream_response
from gateway.simulators.fields import Fields
from gateway.simulators.gemini import errors
from gateway.simulators.gemini.interaction_events import events, wait
from gateway.simulators.gemini.interaction_requests import InteractionRequest, read_order, refusal
from gateway.simulators.gemini.interaction_store import Interaction, Interactions
from gateway.simulators.gemini.protocol import VERSION, model_of, open_call
from gateway.simulators.google.errors import GoogleError, error_message, failed_precondition
from gateway.simulators.google.http import LARGEST_BODY_BYTES, google_json, json_body
from gateway.simulators.state import current_state

bp = Blueprint("interactions", __name__)

_SLUGS = {
    "INVALID_ARGUMENT": "invalid_request",
    "FAILED_PRECONDITION": "failed_precondition",
    "UNAUTHENTICATED": "authentication",
    "PERMISSION_DENIED": "permission_denied",
    "NOT_FOUND": "not_found",
    "RESOURCE_EXHAUSTED": "rate_limit_exceeded",
    "INTERNAL": "api_error",
    "UNAVAILABLE": "service_unavailable",
}


@bp.errorhandler(GoogleError)
def refuse(error: GoogleError) -> Response:
    """Answer with a code in words; a wrong key is 401 here."""
    slug = error.slug or _SLUGS[error.status]
    status = 401 if slug == "authentication" else error.code
    return google_json({"error": {"code": slug, "message": error_message(error.message)}}, status)


@bp.post(f"/{VERSION}/interactions")
def create(version: str) -> Response:
    """Make something, and wait for it unless it is made in the background."""
    body = json_body()
    call = open_call("interactions.create", body, main=True)
    if (request.content_length or 0) > LARGEST_BODY_BYTES:
        raise refusal("invalid", "input", f"has more than {LARGEST_BODY_BYTES} bytes")
    if isinstance(body, str):
        raise GoogleError(400, "The request body is not valid JSON.")
    given = Fields(body, refusal)
    if "agent" in given:
        raise given.invalid("agent", "names an agent, and the simulator has none")
    name = given.required_text("model").removeprefix("models/")
    model = model_of(name, version, "createInteraction")
    errors.refuse_work(call, name)
    order = read_order(given, model, call.credential)
    store = current_state().store(Interactions)
    if order.previous and store.find(order.previous, call.credential) is None:
        raise _not_found()
    one = store.start(order, call.credential, call.behaviour)
    if order.stream:
        return stream_response(events(call, one), "text/event-stream")
    return _answer(call, one, order)


def _answer(call: Call, one: Interaction, order: InteractionRequest) -> Response:
    if order.background:
        return google_json(one.view())
    wait(call, one)
    current_state().store(Interactions).update_ledger()
    if one.error is not None and "blocked" in call.behaviour:
        code, message = one.error
        raise GoogleError(400, message, slug=code)
    return google_json(one.view())


@bp.get(f"/{VERSION}/interactions/<interaction_id>")
def get(version: str, interaction_id: str) -> Response:
    """Show an interaction, or replay its events from `last_event_id` on."""
    call = open_call("interactions.get")
    one = _own(interaction_id, call)
    if request.args.get("stream") == "true":
        last = request.args.get("last_event_id", "0")
        if not last.isdecimal():
            raise refusal("invalid", "last_event_id", "is not the id of an event")
        return stream_response(events(call, one, after=int(last)), "text/event-stream")
    return google_json(one.view())


@bp.post(f"/{VERSION}/interactions/<interaction_id>/cancel")
def cancel(version: str, interaction_id: str) -> Response:
    """Stop an interaction that runs in the background."""
    call = open_call("interactions.cancel")
    one = _own(interaction_id, call)
    if not one.order.background:
        raise failed_precondition("Only background interactions can be cancelled.")
    if not current_state().store(Interactions).cancel(one):
        raise failed_precondition(f"The interaction is {one.status} and cannot be cancelled.")
    return google_json(one.view())


@bp.delete(f"/{VERSION}/interactions/<interaction_id>")
def delete(version: str, interaction_id: str) -> Response:
    """Forget an interaction."""
    call = open_call("interactions.delete")
    current_state().store(Interactions).remove(_own(interaction_id, call))
    return google_json({})


def _own(interaction_id: str, call: Call) -> Interaction:
    one = current_state().store(Interactions).find(interaction_id, call.credential)
    if one is None:
        raise _not_found()
    return one


def _not_found() -> GoogleError:
    return GoogleError(404, "Failed to get completed interaction: Result not found.")
