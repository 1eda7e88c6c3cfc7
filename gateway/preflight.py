"""Checks made once before anything serves, except those that need a vendor.

The arbiter runs it as a process of its own, for it need not know the settings and the database
for as long as it runs.
"""

from __future__ import annotations

import os
import sys

from gateway import demo
from gateway.config.settings import Settings
from gateway.config.tables import SettingsError
from gateway.domain.errors import StorageUnavailable
from gateway.runtime import logs


def main() -> None:
    """`python -m gateway.preflight`: become the simulators if they are wanted, else end."""
    logs.configure("ERROR")  # what is wrong is said in one line
    settings = Settings.from_env()
    check(settings)
    if settings.demo_url is None and demo.wanted(settings):
        simulators = ("-m", "gateway.simulators", "--port", "0", "--until-eof")
        os.execv(sys.executable, (sys.executable, *simulators))  # noqa: S606


def check(settings: Settings) -> None:
    """Raises SettingsError, or StorageUnavailable for the database, whose schema is migrated."""
    # Each has a client that processes without use for it never load.
    settings.make_state_dir()
    settings.with_secret_key()
    if settings.redis_url:
        _check_redis(settings.redis_url)
    from gateway.storage.db.engine import Database

    database = Database(settings.database_url)
    try:
        database.migrate()
    finally:
        database.close()


def _check_redis(url: str) -> None:
    from pathlib import Path

    from gateway.storage.rate_counters import storage_location

    try:
        storage_location(url, Path())
    except ValueError as err:
        raise SettingsError(f"REDIS_URL: {err}") from None


if __name__ == "__main__":
    try:
        main()
    except SettingsError as err:
        sys.exit(f"gateway: {err}")
    except StorageUnavailable as err:
        sys.exit(f"gateway: DATABASE_URL: {err.explained}")
