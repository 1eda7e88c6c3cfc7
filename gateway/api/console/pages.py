"""Views of the console: what operators and owners look at."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from flask.typing import ResponseReturnValue

from gateway.api.console.charts import Chart, chart
from gateway.api.console.site import bp, page, require_admin, signed_in
from gateway.api.console.tables import Column, table
from gateway.api.context import current
from gateway.api.endpoints.admin import job_row, request_row
from gateway.domain.jobs import Job
from gateway.domain.money import reset_at, units
from gateway.services.admin.reports import ReportGroup
from gateway.services.jobs.records import stored_of
from gateway.services.observability.usage import owner_name

_HOUR_S, _DAY_S = 3600, 86400
_MOST_ROWS = 500
_SHOWN_JOBS = 60
_TOP = 8

_ACCOUNTS = (
    Column("name", "Name"),
    Column("upstream", "Vendor"),
    Column("state", "State", "state"),
    Column("reason", "Reason"),
    Column("returns_at", "Returns", "time"),
    Column("in_flight", "In flight", "number"),
    Column("weight", "Weight", "number"),
    Column("used", "Limits used", "used"),
)
_KEYS = (
    Column("name", "Name"),
    Column("state", "State", "state"),
    Column("team", "Team"),
    Column("limits", "Limits"),
    Column("budget", "Budget", "budget"),
    Column("models", "Models", "list"),
    Column("expires", "Expires", "time"),
    Column("last_used_at", "Last used", "time"),
)
_JOBS = (
    Column("created_at", "Created", "time"),
    Column("kind", "Kind"),
    Column("model", "Model"),
    Column("key", "Key"),
    Column("status", "Status", "state"),
    Column("progress", "Progress", "percent"),
    Column("account", "Account"),
    Column("cost", "Cost", "money"),
    Column("problem", "Error"),
)
_REQUESTS = (
    Column("at", "Time", "time"),
    Column("status", "Status", "status"),
    Column("path", "Path"),
    Column("model", "Model"),
    Column("key", "Key"),
    Column("account", "Account"),
    Column("attempts", "Attempts", "number"),
    Column("ms", "ms", "number"),
    Column("cost", "Cost", "money"),
    Column("error", "Error"),
)
_MODELS = (
    Column("id", "Name"),
    Column("kind", "Kind"),
    Column("routes", "Routes", "routes"),
    Column("price", "Price", "price"),
    Column("shutdown_date", "Shutdown"),
)
_AUDIT = (
    Column("at", "Time", "time"),
    Column("actor", "Who"),
    Column("action", "Change"),
    Column("target", "Of"),
    Column("details", "Details", "details"),
)


@bp.get("")
def overview() -> ResponseReturnValue:
    """Traffic, errors, latency, tokens and cost of the last day and month."""
    services, session = current().services, signed_in()
    now = int(time.time())
    hour, day = now - now % _HOUR_S, now - now % _DAY_S
    since = hour - 23 * _HOUR_S
    last_day = _sum(_report(since, now))
    ended = [r.record for r in services.recent.newest(limit=_MOST_ROWS, owner=_owner())]
    times = sorted(r["ms"] for r in ended if r["upstream"] and r["status"] == 200)
    return page(
        "overview.html",
        totals=last_day,
        p50=_share(times, 0.5),
        p95=_share(times, 0.95),
        by_hour=_chart("hour", since, hour + _HOUR_S, _HOUR_S),
        by_day=_chart("day", day - 29 * _DAY_S, day + _DAY_S, _DAY_S),
        cost_by_day=_chart("day", day - 29 * _DAY_S, day + _DAY_S, _DAY_S, value="cost"),
        top_models=_top("model", since, now),
        top_keys=_top("key", since, now) if session.is_admin else (),
        states=Counter(view.state for view in services.pool.snapshot()) if session.is_admin else {},
        budgets=_budgets(),
        errors=Counter(r["error"] for r in ended if r["error"]).most_common(_TOP),
    )


@bp.get("/accounts")
def accounts() -> ResponseReturnValue:
    """The accounts with their states and the limits used."""
    require_admin()
    admin = current().services.account_admin
    shown = table(admin.rows(), _ACCOUNTS, sort="name")
    return page("accounts.html", table=shown, vendors=admin.vendors)


@bp.get("/accounts/<path:name>")
def account(name: str) -> ResponseReturnValue:
    """One account, and what can be done with it."""
    require_admin()
    return page("account.html", row=current().services.account_admin.get(name), tried=None)


@bp.get("/keys")
def keys() -> ResponseReturnValue:
    """Keys and teams with their budgets."""
    require_admin()
    return keys_page()


def keys_page(**values: Any) -> str:
    admin = current().services.key_admin
    values = {"made": None, "problem": None, "form": {}} | values
    return page(
        "keys.html", table=table(admin.rows(), _KEYS, sort="name"), teams=admin.teams(), **values
    )


@bp.get("/keys/<path:name>")
def key(name: str) -> ResponseReturnValue:
    """One key, and what can be changed of it."""
    require_admin()
    return page("key.html", row=current().services.key_admin.get(name), problem=None)


@bp.get("/jobs")
def jobs() -> ResponseReturnValue:
    """The newest jobs; the page brings itself up to date while any is unfinished."""
    rows = [_job_row(job) for job in _jobs(_MOST_ROWS)]
    live = any(row["status"] in ("queued", "in_progress") for row in rows)
    return page("jobs.html", table=table(rows, _JOBS, sort="-created_at"), live=live)


@bp.get("/gallery")
def gallery() -> ResponseReturnValue:
    """Images and videos of the newest jobs."""
    context = current()
    sign = context.sign
    shown: list[dict[str, Any]] = []
    for job in _jobs(_MOST_ROWS):
        if job.status != "completed" or len(shown) >= _SHOWN_JOBS:
            continue
        for entry in (job.result or {}).get("media", []):
            stored, cover = stored_of(entry)
            shown.append(
                {
                    "kind": entry["kind"],
                    "url": sign(stored),
                    "cover": sign(cover) if cover else None,
                    "width": stored.width,
                    "height": stored.height,
                    "prompt": context.services.prompts.read(job),
                    "request": _settings_of(job),
                    **_job_row(job),
                }
            )
    return page("gallery.html", items=shown)


@bp.get("/requests")
def requests() -> ResponseReturnValue:
    """The newest requests: how they went, never what they said."""
    found = current().services.recent.newest(limit=_MOST_ROWS, owner=_owner())
    rows = [request_row(entry.id, entry.at, entry.owner, entry.record) for entry in found]
    return page("requests.html", table=table(rows, _REQUESTS, sort="-at"))


@bp.get("/models")
def models() -> ResponseReturnValue:
    """Models with routes, prices and dates."""
    context = current()
    services, session = context.services, signed_in()
    reachable = {m.name for m in services.dispatcher.reachable(services.catalog, session.caller)}
    rows = [
        row
        | {
            "price": next((r["price"] for r in row["routes"] if r["price"]), None),
            "shutdown_date": next((r["shutdown_date"] for r in row["routes"]), None),
        }
        for row in services.model_views.rows()
        if row["id"] in reachable
    ]
    return page("models.html", table=table(rows, _MODELS, sort="kind"))


@bp.get("/playground")
def playground() -> ResponseReturnValue:
    """Chats, images and videos, by the API that everybody uses."""
    services, session = current().services, signed_in()
    reachable = services.dispatcher.reachable(services.catalog, session.caller)
    return page(
        "playground.html",
        models={
            kind: sorted(model.name for model in reachable if model.kind == kind)
            for kind in ("chat", "image", "video")
        },
    )


@bp.get("/audit")
def audit() -> ResponseReturnValue:
    """Who changed what."""
    require_admin()
    found = current().services.audit.newest(limit=_MOST_ROWS)
    rows = [
        {
            "at": entry.at,
            "actor": entry.actor,
            "action": entry.action,
            "target": entry.target,
            "details": {k: v for k, v in entry.details.items() if v not in (None, [], {})},
        }
        for entry in found
    ]
    return page("audit.html", table=table(rows, _AUDIT, sort="-at"))


def _owner() -> str | None:
    """Whose requests are shown; None: everybody's."""
    session = signed_in()
    return None if session.is_admin else session.caller.owner


def _jobs(limit: int) -> Sequence[Job]:
    generation, session = current().services.generation, signed_in()
    if session.is_admin:
        return generation.newest(limit)
    return generation.page(session.caller, limit=limit)[0]


def _job_row(job: Job) -> dict[str, Any]:
    error = job.error if job.done else None
    return job_row(job) | {"problem": (error or {}).get("code")}


def _settings_of(job: Job) -> dict[str, Any]:
    """What was asked for besides the prompt: size, ratio, seed and the like."""
    names = ("size", "ratio", "resolution", "duration", "seed", "n")
    found = {name: job.request.get(name) for name in names}
    references = len(job.request.get("images", ())) + len(job.request.get("references", ()))
    return {k: v for k, v in {**found, "references": references}.items() if v not in (None, 0)}


def _report(since: float, until: float, *groups: ReportGroup) -> list[dict[str, Any]]:
    session = signed_in()
    key = None if session.is_admin else owner_name(session.caller.owner)
    return current().services.reports.report(since=since, until=until + 1, group_by=groups, key=key)


def _sum(rows: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    names = ("requests", "errors", "prompt_tokens", "completion_tokens", "images", "videos", "cost")
    return {name: sum(row[name] for row in rows) for name in names}


def _chart(
    group: ReportGroup, since: int, until: int, step: int, *, value: str = "requests"
) -> Chart:
    rows = _report(since, until, group)
    at = f"{group}_at"
    return chart(
        {row[at]: row[value] for row in rows},
        since=since,
        until=until,
        step=step,
        parts={row[at]: row["errors"] for row in rows} if value == "requests" else {},
    )


def _top(group: ReportGroup, since: float, until: float) -> list[dict[str, Any]]:
    rows = _report(since, until, group)
    return sorted(rows, key=lambda row: (-row["cost"], -row["requests"]))[:_TOP]


def _budgets() -> list[dict[str, Any]]:
    """The budgets of the session's key, and for operators that of the whole gateway."""
    budgets = current().services.budgets
    return [
        {
            "name": share.budget,
            "period": share.period,
            "limit": units(share.limit),
            "spent": units(found.spent),
            "reserved": units(found.reserved),
            "resets_at": reset_at(share.period),
        }
        for share, found in budgets.spent(budgets.shares(signed_in().caller))
    ]


def _share(ordered: Sequence[float], share: float) -> float | None:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else None
