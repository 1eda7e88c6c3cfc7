"""Programs for tests that need an interpreter of their own: patched by gevent, or forking."""

from __future__ import annotations

if __name__ == "__main__":
    import sys

    if sys.argv[1] != "fork":
        from gevent import monkey

        monkey.patch_all()

import os
import subprocess
import sys
from collections.abc import Callable

from sqlalchemy import text

from gateway.storage.db.engine import Database
from gateway.storage.records.usage import UsageRow, UsageStore

_ENOUGH = 10
_HOLD_LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
connection.execute("COMMIT")
"""


def wait(url: str) -> None:
    """Wait for the database, which is free again once another greenlet has had its turns."""
    import gevent

    def count(free: Callable[[], None]) -> None:
        for _ in range(_ENOUGH):
            gevent.sleep(0.001)
        free()

    database = Database(url)
    if url.startswith("sqlite"):
        path = url.removeprefix("sqlite:///")
        command = [sys.executable, "-c", _HOLD_LOCK, path]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(command, **pipes) as holder:
            assert holder.stdin is not None
            assert holder.stdout is not None
            holder.stdout.readline()
            gevent.spawn(count, holder.stdin.close)
            UsageStore(database).add_many([UsageRow(requests=1)])
    else:
        with database.begin() as holder, database.begin() as waiter:
            holder.execute(text("SELECT pg_advisory_xact_lock(1)"))
            gevent.spawn(count, holder.commit)
            waiter.execute(text("SELECT pg_advisory_xact_lock(1)"))
    sys.stdout.write("others ran")


def kill(url: str) -> None:
    """Kill more greenlets in the middle of a query than there are connections."""
    import gevent

    database = Database(url, wait_s=2)

    def sleep() -> None:
        with database.begin() as connection:
            connection.execute(text("SELECT pg_sleep(1)"))

    for _ in range(3):
        sleepers = [gevent.spawn(sleep) for _ in range(4)]
        gevent.sleep(0.1)
        gevent.killall(sleepers)
    database.ping()
    sys.stdout.write("still served")


def fork(url: str) -> None:
    """Write from a process and from three forked off it, all of which have used the database."""
    usage = UsageStore(Database(url))
    children = []

    def work() -> None:
        for _ in range(50):
            usage.add_many([UsageRow(requests=1)])
            usage.report(since=0, until=1)

    usage.report(since=0, until=1)
    for _ in range(3):
        child = os.fork()
        if child == 0:
            work()
            os._exit(0)
        children.append(child)
    work()
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    sys.stdout.write(str(usage.report(since=0, until=1)[0].requests))


if __name__ == "__main__":
    {"wait": wait, "kill": kill, "fork": fork}[sys.argv[1]](sys.argv[2])
