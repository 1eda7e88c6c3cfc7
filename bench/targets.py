"""What is measured: the mock vendor itself, the gateway as it is deployed, servers given."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from bench.machine import free_port, running

ROOT = Path(__file__).parent.parent
KEY = "sk-bench-0123456789"


@dataclass(frozen=True)
class Target:
    """A running server; `model` spells the mock's model names its way, {m} standing for them."""

    name: str
    port: int
    pid: int = 0  # of its first process; 0: not to be watched
    key: str = KEY
    model: str = "{m}"
    headers: tuple[str, ...] = ()
    path: str = "/v1/chat/completions"
    workers: int = 2
    cold_s: float = 0.0  # from its start to its first answer

    @property
    def all_headers(self) -> tuple[str, ...]:
        return (f"Authorization: Bearer {self.key}", *self.headers)

    def answers(self, timeout: float = 5) -> bool:
        model = self.model.replace("{m}", "fast")
        body = {"model": model, "messages": [{"role": "user", "content": "hi"}]}
        try:
            status, _ = self.ask("POST", self.path, body, timeout=timeout)
        except (OSError, http.client.HTTPException):
            return False
        return status == 200

    def ask(
        self, method: str, path: str, document: object = None, *, timeout: float = 30
    ) -> tuple[int, bytes]:
        headers = dict(header.split(": ", 1) for header in self.all_headers)
        body = None if document is None else json.dumps(document)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json", **headers})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def ready(target: Target, process: subprocess.Popen[bytes], seconds: float = 300) -> Target:
    """The target with the time it took to answer; SystemExit when it does not."""
    start = time.monotonic()
    while time.monotonic() < start + seconds:
        if target.answers():
            return replace(target, pid=process.pid, cold_s=time.monotonic() - start)
        if process.poll() is not None:
            break
        time.sleep(0.01)
    sys.exit(f"bench: {target.name} does not answer; see its log")


@contextmanager
def mock(program: Path, picture: Path, folder: Path) -> Iterator[Target]:
    port = free_port()
    with running([program, str(port), picture], log=folder / "mock.log") as process:
        yield ready(Target("mock", port), process)


@contextmanager
def gateway(
    vendor: Target,
    folder: Path,
    *,
    name: str = "gateway",
    workers: int = 2,
    accounts: int = 1,
    keys: int = 1,
    settings: Mapping[str, str] | None = None,
    root: Path = ROOT,
    app: str = "wsgi:app",
) -> Iterator[Target]:
    """The gateway as `make run` serves it, every feature on, its log in a file.

    The folder is its home: a second start finds the database that the first has made.
    """
    home = folder / name.replace(" ", "-")
    home.mkdir(exist_ok=True)
    config = home / "gateway.toml"
    config.write_text(_config(accounts, keys))
    base = f"http://127.0.0.1:{vendor.port}"
    port = free_port()
    env = {
        "OPENAI_BASE_URL": f"{base}/v1",
        "ARK_BASE_URL": f"{base}/api/v3",
        "ARK_API_KEYS": "ark-key",
        "GATEWAY_CONFIG": str(config),
        "GATEWAY_RATE_LIMIT": "100000000/minute",
        "WEB_CONCURRENCY": str(workers),
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "PYTHONPATH": str(root),
        **(settings or {}),
    }
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "-c",
        root / "gunicorn.conf.py",
        app,
    ]
    with running(command, log=home / "log", env=env, cwd=home) as process:
        yield ready(Target(name, port, model="openai/{m}", workers=workers), process)


def _config(accounts: int, keys: int) -> str:
    account = '[[accounts]]\nname = "account-{0}"\nupstream = "openai"\ncredential = "vendor-{0}"\n'
    parts = [account.format(number) for number in range(accounts)]
    parts.append(f'[[keys]]\nname = "bench"\nkey = "{KEY}"\n')
    parts += [f'[[keys]]\nname = "key-{n}"\nkey = "sk-{n:020}"\n' for n in range(1, keys)]
    return "\n".join(parts)


_GIVEN = re.compile(r"(\w[\w-]*)=http://(?:127\.0\.0\.1|localhost):(\d+)(,.*)?")


def given(text: str) -> Target:
    """NAME=http://127.0.0.1:PORT[,key=…][,model=…{m}…][,pid=…]: a server that runs already."""
    match = _GIVEN.fullmatch(text)
    if match is None:
        sys.exit(f"bench: {text!r} is not NAME=http://127.0.0.1:PORT,key=…,model=…,pid=…")
    options = dict(part.split("=", 1) for part in (match[3] or "")[1:].split(",") if part)
    return Target(
        match[1],
        int(match[2]),
        int(options.get("pid", 0)),
        options.get("key", KEY),
        options.get("model", "{m}"),
    )
