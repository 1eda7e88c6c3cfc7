"""The WSGI entry point: `gunicorn wsgi:app`, `flask --app wsgi …`."""

from __future__ import annotations

import sys

from gateway import create_app
from gateway.domain.errors import StorageUnavailable
from gateway.settings import Settings
from gateway.settings_tables import SettingsError

try:
    app = create_app(Settings.from_env())
except SettingsError as err:
    sys.exit(f"gateway: {err}")
except StorageUnavailable as err:
    sys.exit(f"gateway: DATABASE_URL: {err.message}")
