"""`keys create`, `keys list`, `keys revoke`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click

from gateway.bootstrap import open_key_admin
from gateway.cli import common
from gateway.cli.common import ACTOR, as_json, opened, settings, show
from gateway.domain.money import nanos
from gateway.services.admin.keys import KeyAdmin


@click.group()
def keys() -> None:
    """The gateway's own keys."""


@keys.command()
@click.argument("name", type=common.label)
@click.option("--limits", type=common.limits, help="Such as 300/minute or '20/hour; 100/day'.")
@click.option("--models", type=common.words, default="", help="Comma list; without it, all models.")
@click.option("--expires", type=common.after, help="After a time such as 30d, or a date.")
@click.option("--team", help="Whose budget the key's calls count towards too.")
@click.option("--day", type=click.FloatRange(0), help="Budget of a day, in the budgets' currency.")
@click.option("--month", type=click.FloatRange(0), help="Budget of a month.")
@click.option("--max-in-flight", type=click.IntRange(1), help="Requests of the key at once.")
@click.option("--keep-prompts", is_flag=True, help="Let the gallery show what was asked for.")
@as_json
def create(
    name: str,
    as_json: bool,
    day: float | None,
    month: float | None,
    expires: float | None,
    **fields: Any,
) -> None:
    """Make a key and show it, this once."""
    with _admin() as admin:
        row, secret = admin.create(
            name,
            actor=ACTOR,
            expires_at=expires,
            budget_day=nanos(day) if day is not None else None,
            budget_month=nanos(month) if month is not None else None,
            **fields,
        )
    if as_json:
        show([row | {"key": secret.reveal()}], as_json=True)
    else:
        click.echo(secret.reveal())
        click.echo(f"This is the key {name}. It is not shown again.", err=True)


@keys.command("list")
@as_json
def list_(as_json: bool) -> None:
    """All keys, valid and not."""
    with _admin() as admin:
        rows = admin.rows()
    show(rows, as_json=as_json)


@keys.command()
@click.argument("name")
def revoke(name: str) -> None:
    """Refuse a key from now on; workers know within two seconds."""
    with _admin() as admin:
        admin.revoke(name, actor=ACTOR)
    click.echo(f"{name} is revoked.")


@contextmanager
def _admin() -> Iterator[KeyAdmin]:
    configured = settings()
    with opened(configured.database_url) as database:
        yield open_key_admin(configured, database)
