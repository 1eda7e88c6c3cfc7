"""`keys create`, `keys list`, `keys revoke`."""

from __future__ import annotations

import time
from typing import Any

import click

from gateway.cli import common
from gateway.cli.common import as_json, opened, settings, show
from gateway.domain.accounts import GatewayKey
from gateway.storage.records.api_keys import KeyRecord, KeyStore


@click.group()
def keys() -> None:
    """The gateway's own keys."""


@keys.command()
@click.argument("name", type=common.label)
@click.option("--limits", type=common.limits, help="Such as 300/minute or '20/hour; 100/day'.")
@click.option("--models", type=common.words, default="", help="Comma list; without it, all models.")
@click.option("--expires", type=common.after, help="After a time such as 30d, or a date.")
@as_json
def create(
    name: str, limits: str | None, models: tuple[str, ...], expires: float | None, as_json: bool
) -> None:
    """Make a key and show it, this once."""
    configured = settings()
    if any(key.name == name for key in configured.keys):
        raise click.ClickException(f"The settings have a key called {name}.")
    with opened(configured.database_url) as database:
        record, secret = KeyStore(database).create(
            name, limits=limits, models=models, expires_at=expires
        )
    if as_json:
        show([_row(record) | {"key": secret.reveal()}], as_json=True)
    else:
        click.echo(secret.reveal())
        click.echo(f"This is the key {name}. It is not shown again.", err=True)


@keys.command("list")
@as_json
def list_(as_json: bool) -> None:
    """All keys, valid and not."""
    configured = settings()
    with opened(configured.database_url) as database:
        rows = [_row(record) for record in KeyStore(database).list()]
    show([*map(_configured_row, configured.keys), *rows], as_json=as_json)


@keys.command()
@click.argument("name")
def revoke(name: str) -> None:
    """Refuse a key from now on; workers know within two seconds."""
    configured = settings()
    if any(key.name == name for key in configured.keys):
        raise click.ClickException(f"{name} is in the settings: take it out there and restart.")
    with opened(configured.database_url) as database:
        if not KeyStore(database).revoke(name):
            raise click.ClickException(f"There is no valid key called {name}.")
    click.echo(f"{name} is revoked.")


def _row(record: KeyRecord) -> dict[str, Any]:
    expired = record.expires_at is not None and record.expires_at <= time.time()
    state = "revoked" if record.revoked_at else "expired" if expired else "valid"
    return {
        "name": record.name,
        "state": state,
        "ends_with": record.last_four,
        "limits": record.limits,
        "models": list(record.models),
        "created_at": record.created_at,
        "expires_at": record.expires_at,
        "from": "command",
    }


def _configured_row(key: GatewayKey) -> dict[str, Any]:
    expired = key.expires_at is not None and key.expires_at <= time.time()
    return {
        "name": key.name,
        "state": "expired" if expired else "valid",
        "ends_with": None,
        "limits": key.limits,
        "models": sorted(key.models),
        "created_at": None,
        "expires_at": key.expires_at,
        "from": "settings",
    }
