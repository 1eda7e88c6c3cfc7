"""Keys, teams and accounts in the admin API, and in the console's forms."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

from gateway.config.toml import parse_limits
from gateway.domain.money import Budget, nanos

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_MOST_MONEY = 1_000_000_000


def label(text: str) -> None:
    if not _NAME.fullmatch(text):
        raise ValidationError("Up to 64 letters, digits, dots, dashes and underscores.")


def _limits(text: str) -> None:
    try:
        parse_limits(text)
    except ValueError as err:
        raise ValidationError(f"{err}.") from None


class BudgetSchema(Schema):
    """`{"day": 5, "month": 100}` in the currency of the budgets; null for no such budget."""

    day = fields.Float(allow_none=True, validate=validate.Range(0, _MOST_MONEY))
    month = fields.Float(allow_none=True, validate=validate.Range(0, _MOST_MONEY))


class Expiry(fields.Field[float]):
    """Unix seconds, or a date or time in ISO 8601; UTC without a zone."""

    def _deserialize(self, value: Any, attr: Any, data: Any, **kw: Any) -> float:
        if isinstance(value, int | float) and not isinstance(value, bool):
            return float(value)
        try:
            found = datetime.fromisoformat(value)
        except (TypeError, ValueError):
            raise ValidationError("Must be unix seconds or a date such as 2027-01-31.") from None
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


class KeyChangeSchema(Schema):
    class Meta:
        unknown = EXCLUDE

    team = fields.String(allow_none=True, validate=validate.Length(1, 64))
    limits = fields.String(allow_none=True, validate=_limits)
    models = fields.List(fields.String(validate=validate.Length(1, 256)))
    budget = fields.Nested(BudgetSchema, allow_none=True)
    max_in_flight = fields.Integer(allow_none=True, validate=validate.Range(1, 1_000_000))
    expires = Expiry(allow_none=True)
    keep_prompts = fields.Boolean()


class KeySchema(KeyChangeSchema):
    name = fields.String(required=True, validate=label)


class TeamSchema(Schema):
    class Meta:
        unknown = EXCLUDE

    budget = fields.Nested(BudgetSchema, required=True, allow_none=True)


def key_fields(loaded: dict[str, Any]) -> dict[str, Any]:
    """What is given, by the fields of the key's record."""
    found = {name: value for name, value in loaded.items() if name not in ("budget", "expires")}
    if "budget" in loaded:
        budget = budget_of(loaded["budget"])
        found |= {"budget_day": budget.day, "budget_month": budget.month}
    if "expires" in loaded:
        found["expires_at"] = loaded["expires"]
    return found


def budget_of(loaded: dict[str, float | None] | None) -> Budget:
    given = {span: value for span, value in (loaded or {}).items() if value is not None}
    return Budget(**{span: nanos(value) for span, value in given.items()})
