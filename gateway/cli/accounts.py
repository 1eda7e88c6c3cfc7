"""`accounts list`, `add`, `enable`, `disable`, `drain`, `remove`, `reset`, `rotate`, `test`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import click

from gateway.bootstrap import open_pool
from gateway.cli import common
from gateway.cli.common import as_json, opened, settings, show
from gateway.cli.probe import ask
from gateway.config.settings import Settings, account_from, deployment_environment
from gateway.config.tables import SettingsError
from gateway.config.toml import KINDS
from gateway.services.pool.pool import Pool
from gateway.services.pool.views import AccountView
from gateway.storage.db.engine import Database
from gateway.storage.db.processes import Processes
from gateway.storage.rate_counters import RateCounters, storage_location
from gateway.storage.records.accounts import AccountRecord, AccountStatus, AccountStore
from gateway.storage.records.slots import SlotStore
from gateway.upstreams.registry import VENDORS

_DONE: Mapping[AccountStatus, str] = {
    "enabled": "is enabled",
    "disabled": "is disabled",
    "draining": "takes nothing new, and finishes what it has begun",
}


@click.group()
def accounts() -> None:
    """Vendor accounts: those of the settings, and those added here."""


@accounts.command("list")
@as_json
def list_(as_json: bool) -> None:
    """All accounts with their state, its reason, and the time of return."""
    configured = _serving(settings())
    with opened(configured.database_url) as database:
        views = _pool(configured, database).snapshot()
        records = {record.name: record for record in AccountStore(database).list()}
        locked = records.keys() - {view.name for view in views}
        capped = [view.name for view in views if view.max_in_flight is not None]
        in_flight = SlotStore(database).in_flight(capped)
    rows = [_row(view, records.get(view.name), in_flight) for view in views]
    rows += [_locked_row(records[name]) for name in sorted(locked)]
    show(rows, as_json=as_json)


@accounts.command()
@click.argument("name", type=common.label)
@click.option("--upstream", type=click.Choice(list(VENDORS)), required=True)
@click.option(
    "--credential",
    required=True,
    help="env:NAME, file:PATH, or - to type it or pipe it in.",
)
@click.option("--weight", type=click.IntRange(1), default=1, show_default=True)
@click.option("--max-in-flight", type=click.IntRange(1))
@click.option("--limits", multiple=True, metavar="KIND=LIMIT", help="Such as video=20/day.")
@click.option("--models", type=common.words, default="", help="Comma list; without it, all models.")
@click.option("--engine", help="Resource name, for upstreams that have engines.")
@click.option("--base-url")
def add(name: str, credential: str, limits: tuple[str, ...], **options: Any) -> None:
    """Add an account; its credential is stored encrypted and never shown again."""
    configured = settings()
    if any(account.name == name for account in configured.accounts):
        raise click.ClickException(f"The settings have an account called {name}.")
    if not configured.secret_keys and (
        configured.several_machines or deployment_environment().platform
    ):
        raise click.ClickException(
            "Set GATEWAY_SECRET_KEY first: other machines could not decrypt the credential."
        )
    table = {key: value for key, value in options.items() if value is not None}
    table |= {"name": name, "limits": _limits(limits), "models": list(options["models"])}
    try:
        account = account_from(table | {"credential": _read(credential)}, configured)
    except SettingsError as err:
        raise click.ClickException(str(err)) from None
    configured = _serving(configured)
    with opened(configured.database_url) as database:
        AccountStore(database, secret_keys=configured.secret_keys).add(account)
    click.echo(f"{name} is added; try it with: accounts test {name}")
    if not configured.accounts:
        click.echo("A gateway that runs in demo mode uses it once it is restarted.")


@accounts.command()
@click.argument("name")
def enable(name: str) -> None:
    """Lend an account again."""
    _set_status(name, "enabled")


@accounts.command()
@click.argument("name")
def disable(name: str) -> None:
    """Lend an account no more."""
    _set_status(name, "disabled")


@accounts.command()
@click.argument("name")
def drain(name: str) -> None:
    """Begin nothing new with an account; jobs that it has begun are finished."""
    _set_status(name, "draining")


@accounts.command()
@click.argument("name")
def remove(name: str) -> None:
    """Forget an account and its credential."""
    configured = settings()
    if any(account.name == name for account in configured.accounts):
        raise click.ClickException(
            f"{name} is in the settings: take it out there and restart, or: accounts disable {name}"
        )
    with opened(configured.database_url) as database:
        if not AccountStore(database).remove(name):
            raise _unknown(name)
    click.echo(f"{name} is removed.")


@accounts.command()
@click.argument("name")
def reset(name: str) -> None:
    """End an account's cooldown, ejection and blocked models."""
    configured = _serving(settings())
    with opened(configured.database_url) as database:
        if not _pool(configured, database).reset(name):
            raise _unknown(name)
    click.echo(f"{name} may be lent again.")


@accounts.command()
def rotate() -> None:
    """Encrypt the stored credentials with the first key of GATEWAY_SECRET_KEY.

    The keys after it may then be taken out of the setting.
    """
    configured = _serving(settings())
    with opened(configured.database_url) as database:
        AccountStore(database, secret_keys=configured.secret_keys).rotate()
    click.echo("The stored credentials are encrypted with the first secret key.")


@accounts.command()
@click.argument("name")
@click.option("--model", help="A model of the vendor; without it, the first that fits.")
@as_json
def test(name: str, model: str | None, as_json: bool) -> None:
    """Ask an account for a few words: one real call, which may cost a little."""
    configured = _serving(settings())
    with opened(configured.database_url) as database:
        pool = _pool(configured, database)
        account = pool.get(name)
        if account is None:
            store = AccountStore(database, secret_keys=configured.secret_keys)
            if record := store.get(name):
                store.unlock(record)
            raise _unknown(name)
        outcome = ask(configured, database, pool, account, model)
    show([outcome], as_json=as_json)
    if outcome["error"]:
        sys.exit(1)


def _set_status(name: str, status: AccountStatus) -> None:
    configured = settings()
    with opened(configured.database_url) as database:
        store = AccountStore(database)
        if any(account.name == name for account in configured.accounts):
            store.switch(name, status)
        elif not store.set_status(name, status):
            raise _unknown(name)
    click.echo(f"{name} {_DONE[status]}.")


def _unknown(name: str) -> click.ClickException:
    return click.ClickException(f"There is no account called {name}.")


def _read(credential: str) -> str:
    if credential == "-":
        if sys.stdin.isatty():
            return str(click.prompt("Credential", hide_input=True))
        return sys.stdin.read().strip()
    if not credential.startswith(("env:", "file:")):
        raise click.ClickException(
            "A credential on the command line ends up in the shell's history; "
            "give env:NAME, file:PATH or - instead."
        )
    return credential


def _limits(given: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for item in given:
        kind, _, limit = item.partition("=")
        if kind not in KINDS:
            raise click.BadParameter(f"--limits takes {', '.join(KINDS)}, as in {KINDS[0]}=60/hour")
        found[kind] = common.limits(limit)
    return found


def _serving(configured: Settings) -> Settings:
    """The settings as the workers have them: with a secret key and a folder for their state."""
    try:
        configured.make_state_dir()
        return configured.with_secret_key()
    except SettingsError as err:
        raise click.ClickException(str(err)) from None


def _pool(configured: Settings, database: Database) -> Pool:
    counters = RateCounters(*storage_location(configured.redis_url, configured.state_dir))
    return open_pool(configured, database, database, counters, Processes(database))


def _row(
    view: AccountView, record: AccountRecord | None, in_flight: Mapping[str, int]
) -> dict[str, Any]:
    return {
        "name": view.name,
        "upstream": view.upstream,
        "state": view.state,
        "reason": view.reason or None,
        "returns_in_s": round(view.returns_in_s, 1) or None,
        "in_flight": in_flight.get(view.name),
        "max_in_flight": view.max_in_flight,
        "weight": view.weight,
        "models": sorted(view.models),
        "limited_for_s": {name: round(left_s) for name, left_s in view.limited.items()},
        "ends_with": record.last_four if record else None,
        "from": "settings" if view.configured else "command",
    }


def _locked_row(record: AccountRecord) -> dict[str, Any]:
    """Row of an account that no key of GATEWAY_SECRET_KEY opens, so that no pool has it."""
    return {
        "name": record.name,
        "upstream": record.upstream,
        "state": "locked",
        "reason": "encrypted with another secret key",
        "returns_in_s": None,
        "in_flight": None,
        "max_in_flight": record.max_in_flight,
        "weight": record.weight,
        "models": sorted(record.models),
        "limited_for_s": {},
        "ends_with": record.last_four,
        "from": "command",
    }
