"""What work costs a worker: memory at its peak, processor time, and how long its loop stands."""

from __future__ import annotations

import time
from pathlib import Path
from threading import Event, Thread

import requests


class Watch:
    """Watches process `pid`, which serves `url`, while a block runs.

    `grown` is its peak of resident bytes above what it had before. `slowest_s` is the
    slowest answer of /health beside the work. `stood_s` is how much of such an answer the
    process itself was busy in its main thread: on a machine with other things to do an
    answer may be late for no fault of the process.
    """

    def __init__(self, pid: int, url: str, *, every_s: float = 0.02) -> None:
        self._proc = Path(f"/proc/{pid}")
        self._main = self._proc / "task" / str(pid) / "schedstat"
        self._url = f"{url}/health"
        self._every_s = every_s
        self._stop = Event()
        self.slowest_s = self.stood_s = self.cpu_s = 0.0
        self.grown = 0

    def __enter__(self) -> Watch:
        (self._proc / "clear_refs").write_text("5")  # resets the peak
        self._before = self._status("VmRSS")
        self._cpu_before = self._cpu()
        self._thread = Thread(target=self._ask)
        self._thread.start()
        return self

    def _ask(self) -> None:
        with requests.Session() as session:
            while not self._stop.wait(self._every_s):
                busy, started = self._busy(), time.perf_counter()
                assert session.get(self._url, timeout=20).status_code == 200
                took = time.perf_counter() - started
                self.slowest_s = max(self.slowest_s, took)
                self.stood_s = max(self.stood_s, min(took, self._busy() - busy))

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        self._thread.join()
        self.grown = self._status("VmHWM") - self._before
        self.cpu_s = self._cpu() - self._cpu_before

    def _busy(self) -> float:
        return int(self._main.read_text().split()[0]) / 1e9

    def _cpu(self) -> float:
        fields = (self._proc / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / 100

    def _status(self, name: str) -> int:
        (line,) = [
            row
            for row in (self._proc / "status").read_text().splitlines()
            if row.startswith(f"{name}:")
        ]
        return int(line.split()[1]) * 1024
