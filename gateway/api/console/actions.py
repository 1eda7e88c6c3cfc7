"""Changes that operators make in the console; each is in the audit log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import make_response, request
from flask.typing import ResponseReturnValue
from marshmallow import ValidationError

from gateway.api.console.pages import keys_page
from gateway.api.console.site import bp, page, require_admin, see_other, signed_in
from gateway.api.context import current
from gateway.api.endpoints.admin import STATUSES
from gateway.api.http.errors import problem_of
from gateway.api.schemas.admin import (
    KeyChangeSchema,
    KeySchema,
    TeamSchema,
    budget_of,
    key_fields,
)
from gateway.domain.errors import Conflict, GatewayError, InvalidRequest

_KEY_TEXTS = ("name", "team", "limits", "expires")


@bp.post("/accounts")
def add_account() -> ResponseReturnValue:
    """Add an account by the form."""
    actor = require_admin().name
    admin = current().services.account_admin
    form = request.form
    given: dict[str, Any] = {
        name: form[name].strip()
        for name in ("name", "upstream", "credential", "base_url", "engine")
        if form.get(name, "").strip()
    }
    if weight := form.get("weight", "").strip():
        given["weight"] = int(weight) if weight.isdecimal() and len(weight) < 8 else weight
    if places := form.get("max_in_flight", "").strip():
        given["max_in_flight"] = int(places) if places.isdecimal() and len(places) < 8 else places
    admin.add(admin.described(given), actor=actor)
    return see_other(f"/console/accounts/{given['name']}")


@bp.post("/accounts/<path:name>/<any(enable, disable, drain, reset, test, remove):action>")
def act_on_account(name: str, action: str) -> ResponseReturnValue:
    """Do one of the things that can be done with an account."""
    actor = require_admin().name
    services = current().services
    admin = services.account_admin
    if action == "test":
        tried = services.account_test.ask(admin.account(name))
        return page("account.html", row=admin.get(name), tried=tried)
    if action == "remove":
        admin.remove(name, actor=actor)
        return see_other("/console/accounts")
    if action == "reset":
        admin.reset(name, actor=actor)
    else:
        admin.set_status(name, STATUSES[action], actor=actor)
    return see_other(f"/console/accounts/{name}")


@bp.post("/keys")
def create_key() -> ResponseReturnValue:
    """Make a key and show its secret, this once."""
    actor = require_admin().name
    try:
        loaded: dict[str, Any] = KeySchema().load(_key_form(request.form))
        name = loaded.pop("name")
        row, secret = current().services.key_admin.create(name, actor=actor, **key_fields(loaded))
    except (ValidationError, InvalidRequest, Conflict) as err:
        problem = problem_of(err) if isinstance(err, ValidationError) else err
        return make_response(keys_page(problem=problem, form=request.form), problem.status)
    return keys_page(made=row | {"secret": secret.reveal()})


@bp.post("/keys/<path:name>/change")
def change_key(name: str) -> ResponseReturnValue:
    """Change limits, budget, models, team or expiry of a key."""
    actor = require_admin().name
    admin = current().services.key_admin
    try:
        given = key_fields(KeyChangeSchema().load(_key_form(request.form, clear=True)))
        admin.change(name, actor=actor, **given)
    except ValidationError as err:
        problem: GatewayError = problem_of(err)
        return make_response(page("key.html", row=admin.get(name), problem=problem), 400)
    return see_other(f"/console/keys/{name}")


@bp.post("/keys/<path:name>/revoke")
def revoke_key(name: str) -> ResponseReturnValue:
    """Refuse a key from now on."""
    current().services.key_admin.revoke(name, actor=require_admin().name)
    return see_other("/console/keys")


@bp.post("/teams")
def set_team() -> ResponseReturnValue:
    """Set the budget of a team."""
    actor = require_admin().name
    name = request.form.get("name", "").strip()
    try:
        if not 1 <= len(name) <= 64 or not name.isprintable():
            raise InvalidRequest("A team needs a name of up to 64 characters.", param="name")
        loaded = TeamSchema().load({"budget": _budget(request.form)})
        current().services.key_admin.set_team(name, budget_of(loaded["budget"]), actor=actor)
    except (ValidationError, InvalidRequest, Conflict) as err:
        problem = problem_of(err) if isinstance(err, ValidationError) else err
        return make_response(keys_page(problem=problem), problem.status)
    return see_other("/console/keys")


@bp.post("/jobs/<job_id>/<any(cancel, delete):action>")
def act_on_job(job_id: str, action: str) -> ResponseReturnValue:
    """Cancel or delete a job of the session's own key."""
    generation, caller = current().services.generation, signed_in().caller
    if action == "cancel":
        generation.cancel(job_id, caller)
    else:
        generation.delete(job_id, caller)
    return see_other("/console/gallery" if action == "delete" else "/console/jobs")


def _key_form(form: Mapping[str, str], *, clear: bool = False) -> dict[str, Any]:
    """The form as the API's body; with `clear`, an empty field takes away what there was."""
    given: dict[str, Any] = {}
    for name in _KEY_TEXTS:
        if text := form.get(name, "").strip():
            given[name] = text
        elif clear and name != "name":
            given[name] = None
    models = [item.strip() for item in form.get("models", "").split(",") if item.strip()]
    if models or clear:
        given["models"] = models
    if places := form.get("max_in_flight", "").strip():
        given["max_in_flight"] = places
    elif clear:
        given["max_in_flight"] = None
    if (budget := _budget(form)) or clear:
        given["budget"] = budget
    given["keep_prompts"] = form.get("keep_prompts") == "on"
    return given


def _budget(form: Mapping[str, str]) -> dict[str, str]:
    found = {span: form.get(span, "").strip() for span in ("day", "month")}
    return {span: text for span, text in found.items() if text}
