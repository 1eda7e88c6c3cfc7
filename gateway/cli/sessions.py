"""`sessions list`."""

from __future__ import annotations

from dataclasses import asdict

import click

from gateway.bootstrap import vendors
from gateway.cli.common import as_json, opened, settings, show
from gateway.services.sessions.reaper import Reaper
from gateway.storage.db.installation import installation_id
from gateway.storage.db.processes import Processes
from gateway.storage.records.accounts import AccountStore


@click.group()
def sessions() -> None:
    """Sessions that this installation has open at the vendors."""


@sessions.command("list")
@as_json
def list_sessions(as_json: bool) -> None:
    """Ask the vendors, with every account of the pool; sessions of dead processes are orphaned."""
    configured = settings().with_secret_key()
    with opened(configured.database_url) as database:
        store = AccountStore(database, secret_keys=configured.secret_keys)
        accounts = [*configured.accounts, *map(store.unlock, store.list())]
        reaper = Reaper(
            Processes(database),
            lambda: accounts,
            vendors(configured).__getitem__,
            installation=installation_id(database),
        )
        rows = [asdict(session) for session in reaper.sessions()]
    show(rows, as_json=as_json)
