"""Child processes that say when they are ready and are gone when their block ends."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


def free_port() -> int:
    """A port to listen on, of those that the kernel gives to no client in the meantime."""
    while True:
        port = 15_000 + secrets.randbelow(17_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def clean_env(extra: Mapping[str, str]) -> dict[str, str]:
    """The environment without anything that configures a gateway or a proxy."""
    skip = ("GATEWAY_", "ARK_", "GEMINI_", "OPENAI_", "DATABASE_", "REDIS_", "GOOGLE_", "AWS_")
    names = ("PORT", "HOST", "DYNO", "WEB_CONCURRENCY", "FORWARDED_ALLOW_IPS", "GUNICORN_CMD_ARGS")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(skip) and name not in names and not name.lower().endswith("_proxy")
    }
    return {**kept, "PYTHONPATH": str(ROOT), **extra}


@contextmanager
def running(
    command: Sequence[str], *, env: Mapping[str, str], cwd: Path, log: Path, stop_s: float = 30
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a process group; leaving the block ends it with SIGTERM, then SIGKILL."""
    with log.open("ab") as out:
        process = subprocess.Popen(
            command,
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(stop_s)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
        process.wait(10)


def run(
    command: Sequence[object], *, env: Mapping[str, str], cwd: Path, **kw: Any
) -> subprocess.CompletedProcess[str]:
    """Run a command to its end and return what it said."""
    return subprocess.run(
        [str(word) for word in command],
        env=dict(env),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
        **kw,
    )


def wait_for(
    url: str, process: subprocess.Popen[bytes], log: Path, *, within_s: float = 60
) -> None:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"ended at start:\n{log.read_text()[-4000:]}")
        try:
            if requests.get(url, timeout=5).status_code < 500:
                return
        except requests.RequestException:
            pass
        time.sleep(0.05)
    raise RuntimeError(f"{url} did not answer:\n{log.read_text()[-4000:]}")
