"""`usage`, `jobs list`, `sessions list`."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, get_args

import click

from gateway.bootstrap import vendors
from gateway.cli import common
from gateway.cli.common import as_json, opened, settings, show
from gateway.services.sessions.reaper import Reaper
from gateway.storage.db.installation import installation_id
from gateway.storage.db.processes import Processes
from gateway.storage.records.accounts import AccountStore
from gateway.storage.records.jobs import JobStore
from gateway.storage.records.usage import Group, UsageRow, UsageStore

_GROUPS = get_args(Group)
_MOST = 1_000_000  # rows
_NUMBERS = (
    *("requests", "errors", "prompt_tokens", "completion_tokens"),
    *("images", "videos", "estimated"),
)


@click.command()
@click.option("--since", type=common.before, default="7d", show_default=True)
@click.option("--until", type=common.before, default="0s", help="Without it, now.")
@click.option("--by", type=common.words, default="key,model", help=f"Of {', '.join(_GROUPS)}.")
@as_json
def usage(since: float, until: float, by: tuple[str, ...], as_json: bool) -> None:
    """Requests, tokens, pictures, videos; `estimated` requests were not counted by the vendor."""
    if unknown := set(by) - set(_GROUPS):
        raise click.BadParameter(f"--by takes {', '.join(_GROUPS)}, not {sorted(unknown)[0]}")
    with opened(settings().database_url) as database:
        found = UsageStore(database).report(since=since, until=until + 1, group_by=by)  # type: ignore[arg-type]
    rows = [_row(row, by) for row in found]
    if rows and not as_json:
        total = {name: sum(row[name] for row in rows) for name in _NUMBERS}
        rows.append({**dict.fromkeys(rows[0], ""), **total, next(iter(rows[0])): "total"})
    show(rows, as_json=as_json)


def _row(row: UsageRow, by: tuple[str, ...]) -> dict[str, Any]:
    times = {"hour": "hour_at", "day": "day_at"}
    values = asdict(row)
    grouped = {times.get(name, name): values["hour" if name == "day" else name] for name in by}
    return grouped | {name: values[name] for name in _NUMBERS}


@click.group()
def jobs() -> None:
    """The jobs behind pictures and videos."""


@jobs.command("list")
@click.option("--all", "everything", is_flag=True, help="Ended ones too.")
@click.option("--limit", type=click.IntRange(1, _MOST), default=50, show_default=True)
@as_json
def list_jobs(everything: bool, limit: int, as_json: bool) -> None:
    """The newest jobs of all callers that are unfinished."""
    with opened(settings().database_url) as database:
        found = JobStore(database, Processes(database)).newest(limit, unfinished=not everything)
    rows = [
        {
            "id": job.id,
            "status": job.status,
            "progress": job.progress,
            "model": job.model,
            "owner": job.owner[:24],
            "account": job.account,
            "created_at": job.created_at,
            "completed_at": job.completed_at,
            "error": (job.error or {}).get("code"),
        }
        for job in found
    ]
    show(rows, as_json=as_json)


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
