"""`jobs list`."""

from __future__ import annotations

import click

from gateway.cli.common import as_json, opened, settings, show
from gateway.storage.db.processes import Processes
from gateway.storage.records.jobs import JobStore

_MOST_ROWS = 1_000_000


@click.group()
def jobs() -> None:
    """Jobs that generate images and videos."""


@jobs.command("list")
@click.option("--all", "everything", is_flag=True, help="Also jobs that have ended.")
@click.option("--limit", type=click.IntRange(1, _MOST_ROWS), default=50, show_default=True)
@as_json
def list_jobs(everything: bool, limit: int, as_json: bool) -> None:
    """Print the newest unfinished jobs of all callers."""
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
