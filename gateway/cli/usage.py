"""`usage`: requests, tokens, media and cost by key, model or account."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, get_args

import click

from gateway.cli import common
from gateway.cli.common import as_json, opened, settings, show
from gateway.domain.money import units
from gateway.storage.records.usage import Group, UsageRow, UsageStore

_GROUPS = get_args(Group)
_NUMBERS = (
    *("requests", "errors", "prompt_tokens", "completion_tokens"),
    *("images", "videos", "estimated", "cost"),
)


@click.command()
@click.option("--since", type=common.before, default="7d", show_default=True)
@click.option("--until", type=common.before, default="0s", help="Now by default.")
@click.option("--by", type=common.words, default="key,model", help=f"Of {', '.join(_GROUPS)}.")
@as_json
def usage(since: float, until: float, by: tuple[str, ...], as_json: bool) -> None:
    """Print requests, tokens, media and cost; `estimated` ones the vendor did not count."""
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
    values = asdict(row) | {"cost": units(row.cost)}
    grouped = {times.get(name, name): values["hour" if name == "day" else name] for name in by}
    return grouped | {name: values[name] for name in _NUMBERS}
