"""Processes, their costs, and the machine they ran on."""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def build(name: str, folder: Path) -> Path:
    """Compile one of the programs in `native`; SystemExit without a C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        sys.exit("bench: a C compiler is needed for the mock vendor and the load client")
    made = folder / name
    source = HERE / "native" / f"{name}.c"
    subprocess.run([compiler, "-O2", "-o", made, source], check=True)
    return made


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@contextmanager
def running(
    command: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """A server and its children, which end with the block."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            [str(part) for part in command],
            stdout=output,
            stderr=output,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        family = tree(process.pid)
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(8)
        for pid in family:
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                continue
        process.wait()


def _stat(pid: int) -> list[str]:
    try:
        text = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return []
    return text[text.rindex(")") + 2 :].split()


def tree(pid: int) -> list[int]:
    """A process and all that descend from it."""
    children: dict[int, list[int]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit() and (fields := _stat(int(entry))):
            children.setdefault(int(fields[1]), []).append(int(entry))
    found, waiting = [], [pid]
    while waiting:
        found.append(waiting.pop())
        waiting += children.get(found[-1], [])
    return found


def cpu_s(pid: int) -> float:
    ticks = 0
    for each in tree(pid):
        if fields := _stat(each):
            ticks += int(fields[11]) + int(fields[12])
    return ticks / _TICKS


def rss_mb(pid: int) -> float:
    """What each process of the tree has in memory, added up: what they share counts again."""
    return _rss_mb(tree(pid))


def _rss_mb(pids: Iterable[int]) -> float:
    pages = 0
    for each in pids:
        try:
            pages += int(Path(f"/proc/{each}/statm").read_text().split()[1])
        except OSError:
            continue
    return pages * _PAGE / 1048576


def pss_mb(pid: int) -> float:
    """The same with what they share counted once."""
    kilobytes = 0
    for each in tree(pid):
        try:
            text = Path(f"/proc/{each}/smaps_rollup").read_text()
        except OSError:
            continue
        kilobytes += int(re.search(r"^Pss:\s+(\d+)", text, re.M)[1])  # type: ignore[index]
    return kilobytes / 1024


class Peak:
    """The most memory that a process tree, as it is now, has while the block runs."""

    def __init__(self, pid: int) -> None:
        self._pids = tree(pid)
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._run, daemon=True)
        self.mb = 0.0

    def _run(self) -> None:
        while not self._over.wait(0.1):
            self.mb = max(self.mb, _rss_mb(self._pids))

    def __enter__(self) -> Peak:
        self._watch.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._watch.join()


def settle(pid: int, seconds: float = 10) -> None:
    """Wait until a process tree has little to do: what it was asked last must not cost the next."""
    before, end = cpu_s(pid), time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.3)
        now = cpu_s(pid)
        if now - before < 0.06:
            return
        before = now


@contextmanager
def pinned(cores: Collection[int], pids: Iterable[int]) -> Iterator[None]:
    """These trees, and what is started meanwhile, run on these cores only."""
    everywhere = os.sched_getaffinity(0)
    trees = [each for pid in pids for each in tree(pid)]

    def to(where: Collection[int]) -> None:
        os.sched_setaffinity(0, where)
        for pid in trees:
            for task in _tasks(pid):
                with suppress(ProcessLookupError):
                    os.sched_setaffinity(task, where)

    to(cores)
    try:
        yield
    finally:
        to(everywhere)


def _tasks(pid: int) -> list[int]:
    try:
        return [int(task) for task in os.listdir(f"/proc/{pid}/task")]
    except OSError:
        return []


def described() -> dict[str, Any]:
    """The machine, and the versions that a figure depends on."""
    cpu = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    packages = ("gunicorn", "gevent", "Flask", "marshmallow", "orjson", "requests", "gunicorn_h1c")
    return {
        "date": time.strftime("%Y-%m-%d"),
        "revision": _revision(),
        "cpu": cpu[1] if cpu else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(int(memory[1]) / 1048576) if memory else None,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "load_before": round(os.getloadavg()[0], 2),
        "packages": {name: _version(name) for name in packages},
    }


def _revision() -> str | None:
    """The commit that is measured; with a + when files of it have changed since."""
    command = ["git", "-C", HERE, "describe", "--always", "--abbrev=12", "--dirty=+", "--exclude=*"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def load(
    program: Path,
    port: int,
    *,
    path: str,
    body: Path,
    connections: int,
    requests: int = 0,
    seconds: float = 60,
    ramp: float = 0,
    headers: Sequence[str] = (),
) -> dict[str, Any]:
    """Run the load client; see its head for what the numbers mean."""
    counts = [connections, requests, seconds, ramp]
    command = [program, str(port), path, body, *map(str, counts), *headers]
    done = subprocess.run(command, capture_output=True, check=True, timeout=seconds + 60)
    found: dict[str, Any] = json.loads(done.stdout)
    return found
