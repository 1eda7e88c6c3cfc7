"""The WSGI entry point: `gunicorn wsgi:app`, `flask --app wsgi …`."""

from __future__ import annotations

import sys

from gateway import create_app
from gateway.settings import Settings
from gateway.settings_tables import SettingsError

try:
    app = create_app(Settings.from_env())
except SettingsError as err:
    sys.exit(f"gateway: {err}")
