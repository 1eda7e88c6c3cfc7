"""One OpenAI-compatible endpoint in front of the AI accounts a team owns.

`create_app` is the only place that knows every layer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flask import Flask

    from gateway.config.settings import Settings


def create_app(settings: Settings) -> Flask:
    """Build everything once. Raises SettingsError; touches the network only when asked to."""
    # Imported here, so that the simulators and the worker class load without the rest.
    from gateway import api, demo
    from gateway.api.app import App
    from gateway.api.dialects.ark.renderer import callback_body
    from gateway.bootstrap import build
    from gateway.runtime import logs

    settings.make_state_dir()
    logs.configure(settings.log_level)
    app = App()
    app.config.update(MAX_FORM_MEMORY_SIZE=2 * 1024 * 1024, MAX_FORM_PARTS=200)
    app.extensions["gateway"] = build(demo.prepare(settings), callback_body)
    api.register(app, trusted_proxies=settings.trusted_proxies, public_url=settings.public_url)
    return app


def create_command_app() -> Flask:
    """The commands, which read the settings when they need them, and nothing that serves."""
    from flask import Flask

    from gateway import cli as commands

    app = Flask("gateway", static_folder=None)
    commands.register(app.cli)
    return app
