"""`migrate`: what a release does before its processes start."""

from __future__ import annotations

import click

from gateway.cli.common import opened, settings


@click.command()
def migrate() -> None:
    """Bring the database's schema up to date; one that is newer is left as it is."""
    with opened(settings().database_url):
        click.echo("The schema is up to date.")
