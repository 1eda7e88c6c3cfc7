"""A PostgreSQL server of the suite's own, on a unix socket in a folder that ends with it."""

from __future__ import annotations

import getpass
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

USER = "postgres"  # the server refuses to run as root
_OPTIONS = ("listen_addresses=", "fsync=off", "max_connections=200", "shared_buffers=32MB")


def _program(name: str) -> str:
    """Debian keeps the server's programs off the PATH."""
    installed = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    found = str(installed[-1]) if installed else shutil.which(name)
    assert found, f"{name} is missing; on Debian: apt-get install postgresql"
    return found


class PostgresServer:
    def __init__(self, folder: Path, user: str) -> None:
        self._folder = folder
        self._user = user

    @classmethod
    @contextmanager
    def started(cls) -> Iterator[PostgresServer]:
        as_user: dict[str, Any] = {}
        user = getpass.getuser()
        folder = Path(tempfile.mkdtemp(prefix="pg-"))
        if os.getuid() == 0:
            user, account = USER, pwd.getpwnam(USER)
            as_user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
            os.chown(folder, account.pw_uid, account.pw_gid)
        data = str(folder / "data")
        initdb = [_program("initdb"), "-D", data, "-A", "trust", "-U", user, "-N", "-E", "UTF8"]
        subprocess.run(initdb, check=True, capture_output=True, cwd=folder, **as_user)
        options = [argument for option in _OPTIONS for argument in ("-c", option)]
        command = [_program("postgres"), "-D", data, "-k", str(folder), *options]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, **as_user)
        server = cls(folder, user)
        try:
            server._wait(process)
            yield server
        finally:
            process.send_signal(signal.SIGQUIT)  # at once: nothing is to be kept
            process.wait(20)
            shutil.rmtree(folder)

    def create(self) -> str:
        """The name of a new database."""
        name = f"t{uuid.uuid4().hex}"
        self.execute(f"CREATE DATABASE {name}")
        return name

    def url(self, name: str) -> str:
        return f"postgresql://{self._user}@/{name}?host={self._folder}"

    def limited(self, connections: int) -> str:
        """The URL of a new database, whose owner may have so many connections."""
        name = self.create()
        self.execute(f"CREATE ROLE {name} LOGIN CONNECTION LIMIT {connections}")
        self.execute(f"ALTER DATABASE {name} OWNER TO {name}")
        return self.url(name).replace(f"//{self._user}@", f"//{name}@")

    def log(self) -> str:
        return (self._folder / "log").read_text()

    def execute(self, statement: str, *, database: str = "postgres") -> list[tuple[Any, ...]]:
        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + 30
        while True:
            try:
                self.execute("SELECT 1")
            except psycopg.OperationalError:
                log = (self._folder / "log").read_text()
                assert process.poll() is None, log
                assert time.monotonic() < deadline, log
                time.sleep(0.02)
            else:
                return
