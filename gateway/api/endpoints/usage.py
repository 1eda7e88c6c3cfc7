"""What a key is, has used and has cost, for its owner; of all keys for operators."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from typing import Any

from flask import Blueprint, request
from flask.typing import ResponseReturnValue

from gateway.api.context import RequestContext, current
from gateway.api.http.described import described
from gateway.api.http.responses import json_response
from gateway.domain.errors import InvalidRequest
from gateway.domain.money import reset_at, units
from gateway.services.admin.reports import GROUPS, ReportGroup
from gateway.services.observability.usage import owner_name

bp = Blueprint("usage", __name__)

_DAY_S = 86400
_SPAN = re.compile(r"(\d{1,4})([hdw])")
_SPAN_S = {"h": 3600, "d": _DAY_S, "w": 7 * _DAY_S}
_TEXT = {"type": "string"}
QUERY = {"group_by": _TEXT, "since": _TEXT, "until": _TEXT}


@bp.get("/v1/me")
def me() -> ResponseReturnValue:
    """Describe the caller: its key, limits, and what is left of its budgets."""
    context = current()
    caller, services = context.caller, context.services
    key = caller.key
    return json_response(
        {
            "object": "me",
            "kind": "key" if key else "own_credential" if caller.credential else "anonymous",
            "name": key.name if key else None,
            "team": key.team if key else None,
            "admin": key.admin if key else False,
            "limits": (key.limits if key else None) or services.settings.rate_limit,
            "max_in_flight": key.max_in_flight if key else None,
            "models": sorted(key.models) if key else [],
            "expires": key.expires_at if key else None,
            "currency": services.settings.money.currency,
            "budgets": budgets(context),
        }
    )


@bp.get("/v1/usage")
@described(query=QUERY)
def usage() -> ResponseReturnValue:
    """Report requests, tokens, media and cost of your key; of all keys with an admin key."""
    context = current()
    since, until = _times()
    rows = context.services.reports.report(
        since=since, until=until, group_by=_groups(), key=_only_key(context)
    )
    return json_response(
        {
            "object": "list",
            "currency": context.services.reports.currency,
            "since": since,
            "until": until,
            "data": rows,
        }
    )


@bp.get("/v1/organization/costs")
@described(query={"start_time": _TEXT, "end_time": _TEXT, "limit": {"type": "integer"}})
def organization_costs() -> ResponseReturnValue:
    """Report cost by day in the shape of OpenAI's costs."""
    context = current()
    since = _moment("start_time", default=time.time() - 7 * _DAY_S)
    until = _moment("end_time", default=time.time() + 1)
    since -= since % _DAY_S
    services = context.services
    found = services.reports.report(
        since=since, until=until, group_by=("day", "model"), key=_only_key(context)
    )
    by_line = "line_item" in request.args.getlist("group_by")
    buckets = []
    for day in range(int(since), int(until), _DAY_S):
        rows = [row for row in found if row["day_at"] == day]
        lines = [(r["model"], r["cost"]) for r in rows] if by_line else []
        lines = lines or [(None, sum(row["cost"] for row in rows))]
        results = [_cost_line(cost, model, services.reports.currency) for model, cost in lines]
        buckets.append(
            {
                "object": "bucket",
                "start_time": day,
                "end_time": day + _DAY_S,
                "results": results if rows else [],
            }
        )
    return json_response({"object": "page", "data": buckets, "has_more": False, "next_page": None})


@bp.get("/dashboard/billing/usage")
@bp.get("/v1/dashboard/billing/usage")
@described(query={"start_date": _TEXT, "end_date": _TEXT})
def billing_usage() -> ResponseReturnValue:
    """Report cost in hundredths, as older clients ask for it."""
    context = current()
    since = _moment("start_date", default=time.time() - 30 * _DAY_S)
    until = _moment("end_date", default=time.time() + 1)
    found = context.services.reports.report(
        since=since, until=until, group_by=("day", "model"), key=_only_key(context)
    )
    days: dict[int, list[dict[str, Any]]] = {}
    for row in found:
        line = {"name": row["model"], "cost": row["cost"] * 100}
        days.setdefault(row["day_at"], []).append(line)
    return json_response(
        {
            "object": "list",
            "total_usage": sum(row["cost"] for row in found) * 100,
            "daily_costs": [
                {"timestamp": day, "line_items": lines} for day, lines in sorted(days.items())
            ],
        }
    )


@bp.get("/dashboard/billing/subscription")
@bp.get("/v1/dashboard/billing/subscription")
def billing_subscription() -> ResponseReturnValue:
    """Report the caller's tightest monthly budget as the limit of a subscription."""
    context = current()
    limits = [budget["limit"] for budget in budgets(context) if budget["span"] == "month"]
    limit = min(limits, default=0.0)
    key = context.caller.key
    return json_response(
        {
            "object": "billing_subscription",
            "has_payment_method": True,
            "soft_limit_usd": limit,
            "hard_limit_usd": limit,
            "system_hard_limit_usd": limit,
            "access_until": int(key.expires_at) if key and key.expires_at else 4102444800,
        }
    )


def budgets(context: RequestContext) -> list[dict[str, Any]]:
    """Budgets that the caller's calls count towards: limit, spent, reserved, left, reset."""
    service = context.services.budgets
    return [
        {
            "budget": share.budget,
            "span": "day" if len(share.period) > len("2026-12") else "month",
            "limit": units(share.limit),
            "spent": units(found.spent),
            "reserved": units(found.reserved),
            "left": units(max(0, share.limit - found.spent - found.reserved)),
            "resets_at": reset_at(share.period),
        }
        for share, found in service.spent(service.shares(context.caller))
    ]


def _only_key(context: RequestContext) -> str | None:
    """The name under which the caller's usage is counted; None, for all, with an admin key."""
    key = context.caller.key
    if key is not None and key.admin:
        return None
    return owner_name(context.caller.owner)


def _groups() -> tuple[ReportGroup, ...]:
    given = ",".join(request.args.getlist("group_by")).split(",")
    names = tuple(dict.fromkeys(name.strip() for name in given if name.strip()))
    for name in names:
        if name not in GROUPS:
            raise InvalidRequest(f"group_by takes {', '.join(GROUPS)}.", param="group_by")
    return names  # type: ignore[return-value]


def _times() -> tuple[float, float]:
    now = time.time()
    return _moment("since", default=now - 7 * _DAY_S), _moment("until", default=now + 1)


def _moment(name: str, *, default: float) -> float:
    """Unix seconds of a query parameter: seconds, a date or time, or a span ago such as 7d."""
    text = (request.args.get(name) or "").strip()
    if not text:
        return default
    if text.isascii() and text.isdigit() and len(text) <= 11:
        return float(text)
    if match := _SPAN.fullmatch(text):
        return time.time() - int(match[1]) * _SPAN_S[match[2]]
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidRequest(
            f"{name} must be a date, unix seconds, or a time ago such as 7d.", param=name
        ) from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _cost_line(cost: float, model: str | None, currency: str) -> dict[str, Any]:
    return {
        "object": "organization.costs.result",
        "amount": {"value": cost, "currency": currency.lower()},
        "line_item": model,
        "project_id": None,
    }
