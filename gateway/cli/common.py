"""Common parts of the commands: settings, stores, times, and how answers are shown."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import click
import orjson

from gateway.config.settings import Settings
from gateway.config.tables import SettingsError
from gateway.config.toml import parse_limits
from gateway.domain.errors import GatewayError, StorageUnavailable
from gateway.storage.db.engine import Database

Row = Mapping[str, Any]

ACTOR = "command"  # in the audit log

_SPAN = re.compile(r"(\d{1,6})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_END_OF_TIME = datetime(9999, 12, 31, tzinfo=UTC).timestamp()
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")


def settings() -> Settings:
    try:
        return Settings.from_env()
    except SettingsError as err:
        raise click.ClickException(str(err)) from None


@contextmanager
def opened(database_url: str) -> Iterator[Database]:
    """The database, its schema up to date. What fails in the block is one line and status 1."""
    database = Database(database_url)
    try:
        database.migrate()
        yield database
    except StorageUnavailable as err:
        about = "DATABASE_URL: " if err.why else ""
        raise click.ClickException(about + err.explained) from None
    except GatewayError as err:
        raise click.ClickException(err.message) from None
    finally:
        database.close()


def show(rows: Sequence[Row], *, as_json: bool) -> None:
    """A table of all fields of the first row, or JSON."""
    if as_json:
        click.echo(orjson.dumps(rows, option=orjson.OPT_INDENT_2))
        return
    if not rows:
        click.echo("none")
        return
    names = list(rows[0])
    table = [[name.replace("_", " ").upper() for name in names]]
    table += [[_cell(name, row[name]) for name in names] for row in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for line in table:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        click.echo("  ".join(cells).rstrip())


def _cell(name: str, value: Any) -> str:
    if value is None or value == "" or value == []:
        return "-"
    if (name.endswith("_at") or name == "expires") and not isinstance(value, str):
        return _date(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        value = [f"{key} {item}" for key, item in value.items()]
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return "".join(sign if sign.isprintable() else "?" for sign in text)


def _date(at: float) -> str:
    try:
        return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return "never"  # after the year 9999


def span_s(text: str) -> float:
    """Seconds of `90s`, `15m`, `12h`, `30d` or `2w`. Raises BadParameter."""
    match = _SPAN.fullmatch(text.strip())
    if match is None:
        raise click.BadParameter(f"{text!r} is no time such as 12h or 30d")
    return int(match[1]) * _SECONDS[match[2]]


def before(text: str) -> float:
    """Unix seconds of a date, in UTC unless it says otherwise, or of a span ago."""
    return _moment(text, -1)


def after(text: str) -> float:
    """Unix seconds of a date, in UTC unless it says otherwise, or of a span from now."""
    return _moment(text, +1)


def _moment(text: str, sign: int) -> float:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        at = time.time() + sign * span_s(text)
    else:
        at = (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    if at > _END_OF_TIME:
        raise click.BadParameter(f"{text!r} is too far away")
    return max(0.0, at)


def limits(text: str) -> str:
    try:
        parse_limits(text)
    except ValueError as err:
        raise click.BadParameter(str(err)) from None
    return text


def label(text: str) -> str:
    """A name that appears in logs, headers and metrics."""
    if not _NAME.fullmatch(text):
        raise click.BadParameter("a name is up to 64 letters, digits, dots, dashes, underscores")
    return text


def words(text: str) -> tuple[str, ...]:
    """A comma list."""
    return tuple(word.strip() for word in text.split(",") if word.strip())
