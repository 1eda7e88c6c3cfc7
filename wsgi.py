"""The WSGI entry point: `gunicorn wsgi:app`, `flask --app wsgi …`."""

from __future__ import annotations

import sys

import click

from gateway import create_app, create_command_app
from gateway.config.settings import Settings
from gateway.config.toml import SettingsError
from gateway.domain.errors import StorageUnavailable


def _looked_up_for_a_command() -> bool:
    """Whether it is the `flask` command that looks for one of ours.

    What it knows itself, such as `flask run`, asks for the app from within the command.
    """
    context = click.get_current_context(silent=True)
    return context is not None and context.parent is None


if _looked_up_for_a_command():
    app = create_command_app()
else:
    try:
        app = create_app(Settings.from_env())
    except SettingsError as err:
        sys.exit(f"gateway: {err}")
    except StorageUnavailable as err:
        sys.exit(f"gateway: DATABASE_URL: {err.explained}")
