"""Registry of running processes: one row each, kept fresh by a heartbeat.

Claims of jobs and idempotency keys, concurrency slots and session labels name the process
that holds them; what a dead process held is free.
"""

from __future__ import annotations

import os
import secrets
import socket
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Lock

from sqlalchemy import delete, select

from gateway.domain.errors import StorageUnavailable
from gateway.storage.db.engine import Database
from gateway.storage.db.schema import processes

HEARTBEAT_S = 5.0
DEAD_AFTER_S = 15.0
_OUTAGE_S = 2 * HEARTBEAT_S  # without a look at the table: then all get a further period
_LATE_S = HEARTBEAT_S + 1.0
_SLOW_S = 1.0  # a look that takes longer is an outage, too

_ROWS = select(processes.c.id, processes.c.host, processes.c.pid, processes.c.started_ticks)


@dataclass(slots=True)
class _Seen:
    """A row as it was last read. `since` is when its heartbeat was first read, monotonic."""

    host: str
    pid: int
    started_ticks: int
    seen_at: float
    since: float


class Processes:
    """Tells which processes are dead.

    A process of the same host is dead as soon as its pid is gone, any other once its
    heartbeat has not changed for `DEAD_AFTER_S`. Heartbeats are only compared with their
    predecessors, so that no clock needs to be right. After an outage of the database nobody
    is declared dead for one further period.
    """

    def __init__(
        self,
        database: Database,
        *,
        host: str | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._database = database
        self._host = host or this_host()
        self._clock = clock
        self._lock = Lock()
        self._pid = 0
        self._id = ""
        self._registered = False
        self._seen: dict[str, _Seen] = {}
        self._read_at: float | None = None

    @property
    def id(self) -> str:
        """This process's random id; a forked process has its own."""
        if self._pid != os.getpid():
            with self._lock:
                if self._pid != os.getpid():
                    self._id, self._registered = secrets.token_hex(8), False
                    self._pid = os.getpid()
        return self._id

    def register(self) -> str:
        """Write the row before the first claim names it; returns the id."""
        if not (self.id and self._registered):
            self._write()
        return self.id

    def heartbeat(self) -> None:
        """Renew the row, note the others' heartbeats, remove the rows of dead processes."""
        self._write()
        self._read()
        if gone := self._dead(self._seen):
            with self._database.write() as connection:
                connection.execute(delete(processes).where(processes.c.id.in_(gone)))
            for name in gone:
                self._seen.pop(name, None)

    def dead(self, ids: Iterable[str]) -> frozenset[str]:
        """Members of `ids` whose process is dead. Raises StorageUnavailable."""
        asked = set(ids) - {self.id}
        if not asked:
            return frozenset()
        self._read()
        return self._dead(asked)

    def alive(self) -> frozenset[str]:
        """Ids of all processes that are not dead. Raises StorageUnavailable."""
        self._read()
        return frozenset(self._seen.keys() - self._dead(self._seen)) | {self.id}

    def dead_in_s(self, ids: Iterable[str]) -> float | None:
        """Seconds until the first of `ids` is declared dead if it stays silent.

        None when all of them have had a heartbeat in time.
        """
        left = map(self._dead_in_s, ids)
        late = [left_s for left_s in left if left_s < DEAD_AFTER_S - _LATE_S]
        return max(0.0, min(late)) if late else None

    def _dead(self, ids: Iterable[str]) -> frozenset[str]:
        return frozenset(name for name in ids if self._dead_in_s(name) <= 0)

    def _dead_in_s(self, name: str) -> float:
        row = self._seen.get(name)
        if name == self.id:
            return DEAD_AFTER_S
        if row is None or (row.host == self._host and not _runs(row.pid, row.started_ticks)):
            return 0.0
        return DEAD_AFTER_S - (self._clock() - row.since)

    def _write(self) -> None:
        row = {
            "id": self.id,
            "host": self._host,
            "pid": self._pid,
            "started_ticks": _started_ticks(self._pid) or 0,
            "seen_at": time.time(),
        }
        insert = self._database.insert(processes).values(row)
        with self._database.write() as connection:
            connection.execute(
                insert.on_conflict_do_update(
                    index_elements=[processes.c.id], set_={"seen_at": insert.excluded.seen_at}
                )
            )
        self._registered = True

    def _read(self) -> None:
        started = self._clock()
        try:
            with self._database.read() as connection:
                found = connection.execute(_ROWS.add_columns(processes.c.seen_at)).all()
        except StorageUnavailable:
            self._read_at = None
            raise
        now = self._clock()
        with self._lock:
            outage = (
                self._read_at is None or now - self._read_at > _OUTAGE_S or now - started > _SLOW_S
            )
            seen = {}
            for name, host, pid, started_ticks, seen_at in found:
                known = self._seen.get(name)
                same = known is not None and known.seen_at == seen_at and not outage
                since = known.since if known is not None and same else now
                seen[name] = _Seen(host, pid, started_ticks, seen_at, since)
            self._seen, self._read_at = seen, now


def this_host() -> str:
    """Name of the machine, its boot and its pid namespace: within it pids mean the same."""
    parts = [socket.gethostname()]
    with suppress(OSError):
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text().strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def _runs(pid: int, started_ticks: int) -> bool:
    """True if the process runs, and is not another one with its number."""
    if not Path("/proc/self/stat").exists():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass
        return True
    return _started_ticks(pid) == started_ticks


def _started_ticks(pid: int) -> int | None:
    """Kernel ticks from the boot to the start of the process; None when it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    fields = stat[stat.rindex(b")") + 2 :].split()  # the command's name may contain spaces
    return None if fields[0] in (b"Z", b"X") else int(fields[19])
