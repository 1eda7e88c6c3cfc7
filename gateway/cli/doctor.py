"""`doctor`: settings that are missing, unknown, out of reach or unsafe."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import asdict

import click

from gateway.cli.checks import Finding, findings
from gateway.cli.common import as_json, show
from gateway.config.settings import Settings, deployment_environment
from gateway.config.tables import SettingsError

_COLOURS = {"ok": "green", "warn": "yellow", "bad": "red"}


@click.command()
@as_json
def doctor(as_json: bool) -> None:
    """Check the configuration. Status 1 when anything is unsafe or cannot work."""
    found = list(_findings())
    if as_json:
        show([asdict(finding) for finding in found], as_json=True)
    else:
        for finding in found:
            level = click.style(f"{finding.level:4}", fg=_COLOURS[finding.level])
            click.echo(f"{level}  {finding.about:11} {finding.message}")
            if finding.advice:
                click.echo(f"{'':18}{finding.advice}")
    sys.exit(any(finding.level == "bad" for finding in found))


def _findings() -> Iterator[Finding]:
    try:
        yield from findings(Settings.from_env(), deployment_environment())
    except SettingsError as err:
        yield Finding("bad", "settings", str(err), "Nothing starts before this is corrected.")
