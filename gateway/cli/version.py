"""`version`: the version of the gateway."""

from __future__ import annotations

import click

from gateway.domain.version import VERSION


@click.command()
def version() -> None:
    """Print the version of the gateway. (`--version` is that of Flask.)"""
    click.echo(f"gateway {VERSION}")
