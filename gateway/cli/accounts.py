"""`accounts list`, `add`, `enable`, `disable`, `drain`, `remove`, `reset`, `rotate`, `test`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import click

from gateway.bootstrap import open_catalog, open_pool, vendors
from gateway.cli import common
from gateway.cli.common import ACTOR, as_json, opened, settings, show
from gateway.config.settings import Settings, account_from, deployment_environment
from gateway.config.tables import SettingsError
from gateway.config.toml import KINDS
from gateway.services.admin.accounts import AccountAdmin, AccountTest
from gateway.services.sessions.sessions import Sessions
from gateway.storage.db.installation import installation_id
from gateway.storage.db.processes import Processes
from gateway.storage.rate_counters import RateCounters, storage_location
from gateway.storage.records.accounts import AccountStatus, AccountStore
from gateway.storage.records.audit import AuditLog
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
    with _admin() as admin:
        rows = admin.rows()
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
    with _admin() as admin:
        admin.add(account, actor=ACTOR)
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
    with _admin() as admin:
        admin.remove(name, actor=ACTOR)
    click.echo(f"{name} is removed.")


@accounts.command()
@click.argument("name")
def reset(name: str) -> None:
    """End an account's cooldown, ejection and blocked models."""
    with _admin() as admin:
        admin.reset(name, actor=ACTOR)
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
        processes = Processes(database)
        pool = open_pool(configured, database, database, _counters(configured), processes)
        account = pool.get(name)
        if account is None:
            store = AccountStore(database, secret_keys=configured.secret_keys)
            if record := store.get(name):
                store.unlock(record)
            raise click.ClickException(f"There is no account called {name}.")
        catalog = open_catalog(configured, vendors(configured))
        installation = installation_id(database)
        sessions = Sessions(processes, catalog.upstream, installation=installation)
        outcome = AccountTest(catalog, sessions).ask(account, model)
    show([outcome], as_json=as_json)
    if outcome["error"]:
        sys.exit(1)


def _set_status(name: str, status: AccountStatus) -> None:
    with _admin() as admin:
        admin.set_status(name, status, actor=ACTOR)
    click.echo(f"{name} {_DONE[status]}.")


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


@contextmanager
def _admin() -> Iterator[AccountAdmin]:
    configured = _serving(settings())
    with opened(configured.database_url) as database:
        counters = _counters(configured)
        yield AccountAdmin(
            configured,
            open_pool(configured, database, database, counters, Processes(database)),
            AccountStore(database, secret_keys=configured.secret_keys),
            SlotStore(database),
            counters,
            AuditLog(database),
        )


def _counters(configured: Settings) -> RateCounters:
    return RateCounters(*storage_location(configured.redis_url, configured.state_dir))
