"""Accounts, keys, teams, usage, requests, jobs, models and the audit log, for operators."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flask import Blueprint, request
from flask.typing import ResponseReturnValue
from marshmallow import Schema

from gateway.api.app import ApiResponse
from gateway.api.context import RequestContext, current
from gateway.api.endpoints import usage as usage_endpoint
from gateway.api.http.body import json_body
from gateway.api.http.described import described
from gateway.api.http.pagination import requested_page
from gateway.api.http.responses import json_response
from gateway.api.renderers.generations import job_object
from gateway.api.schemas.admin import (
    KeyChangeSchema,
    KeySchema,
    TeamSchema,
    budget_of,
    key_fields,
)
from gateway.domain.errors import Forbidden, InvalidApiKey, InvalidRequest, NotFound
from gateway.domain.jobs import Job
from gateway.domain.money import units
from gateway.services import Services
from gateway.services.admin.accounts import AccountStatus
from gateway.services.jobs.records import usage_of
from gateway.services.observability.usage import owner_name

bp = Blueprint("admin", __name__, url_prefix="/v1/admin")

_key, _key_change, _team = KeySchema(), KeyChangeSchema(), TeamSchema()
_PAGE: dict[str, Mapping[str, Any]] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": 500},
    "before": {"type": "integer"},
}
STATUSES: Mapping[str, AccountStatus] = {
    "enable": "enabled",
    "disable": "disabled",
    "drain": "draining",
}


def admin(context: RequestContext) -> str:
    """The name of the admin key. Raises InvalidApiKey, Forbidden."""
    key = context.caller.key
    if key is None:
        raise InvalidApiKey("An admin key is required: Authorization: Bearer KEY.")
    if not key.admin:
        raise Forbidden("This key is no admin key (GATEWAY_ADMIN_KEYS).")
    return key.name


@bp.before_request
def require_admin() -> None:
    context = current()
    if context.method != "OPTIONS":
        admin(context)


@bp.get("/accounts")
def list_accounts() -> ResponseReturnValue:
    """List the accounts with their states, limits and calls in flight."""
    return _list(_services().account_admin.rows())


@bp.post("/accounts")
def add_account() -> ResponseReturnValue:
    """Add an account; its credential is stored encrypted and never shown."""
    accounts = _services().account_admin
    account = accounts.described(json_body(current()))
    return json_response(accounts.add(account, actor=_actor()), 201)


@bp.get("/accounts/<path:name>")
def get_account(name: str) -> ResponseReturnValue:
    """Describe one account."""
    return json_response(_services().account_admin.get(name))


@bp.patch("/accounts/<path:name>")
def change_account(name: str) -> ResponseReturnValue:
    """Change weight, limits, models or addresses of an account."""
    changed = _services().account_admin.change(name, json_body(current()), actor=_actor())
    return json_response(changed)


@bp.delete("/accounts/<path:name>")
def remove_account(name: str) -> ResponseReturnValue:
    """Forget an account and its credential."""
    _services().account_admin.remove(name, actor=_actor())
    return json_response({"object": "account.deleted", "name": name, "deleted": True})


@bp.post("/accounts/<path:name>/<action>")
def act_on_account(name: str, action: str) -> ResponseReturnValue:
    """Enable, disable, drain, reset or test an account."""
    services = _services()
    if action == "test":
        account = services.account_admin.account(name)
        return json_response(services.account_test.ask(account, request.args.get("model")))
    if action == "reset":
        return json_response(services.account_admin.reset(name, actor=_actor()))
    if (status := STATUSES.get(action)) is None:
        raise NotFound("An account can be enabled, disabled, drained, reset and tested.")
    return json_response(services.account_admin.set_status(name, status, actor=_actor()))


@bp.get("/keys")
def list_keys() -> ResponseReturnValue:
    """List the gateway's keys with their budgets and what is spent of them."""
    return _list(_services().key_admin.rows())


@bp.post("/keys")
@described(body=_key)
def create_key() -> ResponseReturnValue:
    """Make a key; its secret is in this answer and nowhere else."""
    loaded = _loaded(_key)
    name = loaded.pop("name")
    row, secret = _services().key_admin.create(name, actor=_actor(), **key_fields(loaded))
    return json_response(row | {"key": secret.reveal()}, 201)


@bp.get("/keys/<path:name>")
def get_key(name: str) -> ResponseReturnValue:
    """Describe one key."""
    return json_response(_services().key_admin.get(name))


@bp.patch("/keys/<path:name>")
@described(body=_key_change)
def change_key(name: str) -> ResponseReturnValue:
    """Change limits, budget, models, team or expiry of a key."""
    given = key_fields(_loaded(_key_change))
    if not given:
        raise InvalidRequest("Nothing to change is given.")
    return json_response(_services().key_admin.change(name, actor=_actor(), **given))


@bp.delete("/keys/<path:name>")
def revoke_key(name: str) -> ResponseReturnValue:
    """Revoke a key; all processes know within two seconds."""
    _services().key_admin.revoke(name, actor=_actor())
    return json_response({"object": "key.deleted", "name": name, "deleted": True})


@bp.get("/teams")
def list_teams() -> ResponseReturnValue:
    """List the teams with their budgets, what is spent, and their keys."""
    return _list(_services().key_admin.teams())


@bp.get("/teams/<path:name>")
def get_team(name: str) -> ResponseReturnValue:
    """Describe one team."""
    for row in _services().key_admin.teams():
        if row["name"] == name:
            return json_response(row)
    raise NotFound(f"There is no team called {name!r}.", param="name")


@bp.put("/teams/<path:name>")
@described(body=_team)
def set_team(name: str) -> ResponseReturnValue:
    """Set the budget of a team."""
    if len(name) > 64 or not name.isprintable():
        raise InvalidRequest("A team needs a name of up to 64 characters.", param="name")
    budget = budget_of(_loaded(_team)["budget"])
    return json_response(_services().key_admin.set_team(name, budget, actor=_actor()))


@bp.get("/usage")
@described(query=usage_endpoint.QUERY)
def usage() -> ResponseReturnValue:
    """Report usage and cost of all keys."""
    return usage_endpoint.usage()


@bp.get("/requests")
@described(query=_PAGE)
def list_requests() -> ResponseReturnValue:
    """List the newest requests: how they went, never what they said."""
    limit, before = _newest()
    found = _services().recent.newest(limit=limit, before=before)
    return _list([request_row(entry.id, entry.at, entry.owner, entry.record) for entry in found])


@bp.get("/jobs")
@described(query={"limit": _PAGE["limit"]})
def list_jobs() -> ResponseReturnValue:
    """List the newest jobs of all owners."""
    limit, _ = _newest()
    found = _services().generation.newest(limit)
    return _list([job_row(job) for job in found])


@bp.get("/models")
def list_models() -> ResponseReturnValue:
    """List the models with their routes and prices."""
    return _list(_services().model_views.rows())


@bp.get("/audit")
@described(query=_PAGE)
def list_audit() -> ResponseReturnValue:
    """List the newest changes that operators have made."""
    limit, before = _newest()
    found = _services().audit.newest(limit=limit, before=before)
    return _list(
        [
            {
                "id": entry.id,
                "at": entry.at,
                "actor": entry.actor,
                "action": entry.action,
                "target": entry.target,
                "details": entry.details,
            }
            for entry in found
        ]
    )


def request_row(id_: int, at: float, owner: str, record: Mapping[str, Any]) -> dict[str, Any]:
    return {"id": id_, "at": at, "key": owner_name(owner), **record}


def job_row(job: Job) -> dict[str, Any]:
    cost = usage_of(job).cost
    return job_object(job) | {
        "key": owner_name(job.owner),
        "upstream": job.upstream,
        "account": job.account,
        "cost": units(cost) if cost is not None else None,
    }


def _services() -> Services:
    return current().services


def _actor() -> str:
    return admin(current())


def _loaded(schema: Schema) -> dict[str, Any]:
    loaded: dict[str, Any] = schema.load(json_body(current()))
    return loaded


def _newest() -> tuple[int, int | None]:
    """`limit` and `before` of a list by descending id."""
    page = requested_page(default=50, maximum=500)
    text = request.args.get("before", "")
    if text and not (text.isascii() and text.isdigit() and len(text) < 19):
        raise InvalidRequest("before must be the id of an entry.", param="before")
    return page.limit, int(text) if text else None


def _list(rows: Sequence[Mapping[str, Any]]) -> ApiResponse:
    return json_response({"object": "list", "data": rows})
