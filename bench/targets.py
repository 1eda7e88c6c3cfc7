"""What is measured: the mock vendor itself, the gateway as it is deployed, and its peers."""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.machine import free_port, running

ROOT = Path(__file__).parent.parent
KEY = "sk-bench-0123456789"
MODELS = ("fast", "stream-20x0", "stream-200x0", "stream-20x20", "stream-50x100", "slow-20000")


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
        body = json.dumps(
            {
                "model": self.model.replace("{m}", "fast"),
                "messages": [{"role": "user", "content": "hi"}],
            }
        )
        headers = dict(header.split(": ", 1) for header in self.all_headers)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            connection.request(
                "POST", self.path, body, {"Content-Type": "application/json", **headers}
            )
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


def _ready(target: Target, process: subprocess.Popen[bytes], seconds: float = 120) -> Target:
    """The target with the time it took to answer; SystemExit when it does not."""
    start = time.monotonic()
    while time.monotonic() < start + seconds:
        if target.answers():
            took = time.monotonic() - start
            return Target(**{**vars(target), "pid": process.pid, "cold_s": took})
        if process.poll() is not None:
            break
        time.sleep(0.01)
    sys.exit(f"bench: {target.name} does not answer; see its log")


@contextmanager
def mock(program: Path, picture: Path, folder: Path) -> Iterator[Target]:
    port = free_port()
    with running([program, str(port), picture], log=folder / "mock.log") as process:
        yield _ready(Target("mock", port), process)


@contextmanager
def gateway(
    vendor: Target,
    folder: Path,
    *,
    name: str = "gateway",
    workers: int = 2,
    accounts: int = 1,
    keys: int = 1,
) -> Iterator[Target]:
    """The gateway as `make run` serves it, every feature on, its log in a file."""
    base = f"http://127.0.0.1:{vendor.port}"
    settings = {
        "OPENAI_BASE_URL": f"{base}/v1",
        "OPENAI_API_KEYS": ",".join(f"vendor-key-{i}" for i in range(accounts)),
        "ARK_BASE_URL": f"{base}/api/v3",
        "ARK_API_KEYS": "ark-key",
        "GATEWAY_KEYS": ",".join([f"bench={KEY}", *(f"k{i}=sk-{i:020}" for i in range(1, keys))]),
        "GATEWAY_RATE_LIMIT": "100000000/minute",
        "WEB_CONCURRENCY": str(workers),
        "HOST": "127.0.0.1",
        "PYTHONPATH": str(ROOT),
    }
    home = folder / name
    home.mkdir()
    command = [sys.executable, "-m", "gunicorn", "-c", ROOT / "gunicorn.conf.py", "wsgi:app"]
    with _twice(command, settings, home, name, workers) as target:
        yield target


@contextmanager
def _twice(
    command: list[str | Path], settings: Mapping[str, str], home: Path, name: str, workers: int
) -> Iterator[Target]:
    """Start it, let it make its database, and start it again: the second start is the usual one."""
    for attempt in (1, 2):
        port = free_port()
        env = {**settings, "PORT": str(port)}
        with running(command, log=home / "log", env=env, cwd=home) as process:
            target = Target(name, port, model="openai/{m}", workers=workers)
            target = _ready(target, process)
            if attempt == 2:
                yield target


NGINX = """
worker_processes 2; worker_rlimit_nofile 20000; daemon off; pid {folder}/nginx.pid;
error_log {folder}/nginx.log warn;
events {{ worker_connections 9000; }}
http {{
    access_log off; tcp_nodelay on; keepalive_timeout 75s; keepalive_requests 1000000;
    client_max_body_size 32m; client_body_buffer_size 8m;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
    upstream vendor {{ server 127.0.0.1:{vendor}; keepalive 512; keepalive_requests 1000000; }}
    server {{
        listen 127.0.0.1:{port} reuseport backlog=8192;
        location / {{
            proxy_pass http://vendor; proxy_http_version 1.1; proxy_set_header Connection "";
            proxy_buffering off; proxy_read_timeout 300s;
        }}
    }}
}}
"""


@contextmanager
def nginx(vendor: Target, folder: Path) -> Iterator[Target]:
    port = free_port()
    conf = folder / "nginx.conf"
    conf.write_text(NGINX.format(folder=folder, vendor=vendor.port, port=port))
    with running(["nginx", "-c", conf], log=folder / "nginx.out") as process:
        yield _ready(Target("nginx", port), process)


@contextmanager
def litellm(vendor: Target, folder: Path) -> Iterator[Target]:
    """LiteLLM's proxy with its production settings; LITELLM names the program if PATH does not."""
    port = free_port()
    entry = (
        "  - model_name: {m}\n    litellm_params: "
        '{{model: openai/{m}, api_base: "{base}", api_key: k}}\n'
    )
    base = f"http://127.0.0.1:{vendor.port}/v1"
    conf = folder / "litellm.yaml"
    conf.write_text(
        "model_list:\n"
        + "".join(entry.format(m=model, base=base) for model in MODELS)
        + "litellm_settings: {request_timeout: 600, num_retries: 0}\n"
        + f"general_settings: {{master_key: {KEY}}}\n"
    )
    env = {
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_LOG": "ERROR",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }
    command = [_program("litellm"), "--config", conf, "--host", "127.0.0.1"]
    command += ["--port", str(port), "--num_workers", "2"]
    with running(command, log=folder / "litellm.log", env=env) as process:
        yield _ready(Target("litellm", port), process)


_CLUSTER = """
const cluster = require('node:cluster');
cluster.setupPrimary({ exec: process.env.ENTRY, args: process.argv.slice(2) });
cluster.fork(); cluster.fork();
process.on('SIGTERM', () => process.exit(0));
"""


@contextmanager
def portkey(vendor: Target, folder: Path) -> Iterator[Target]:
    """Two processes of Portkey's gateway; PORTKEY is the folder of @portkey-ai/gateway."""
    port = free_port()
    script = folder / "portkey.js"
    script.write_text(_CLUSTER)
    entry = Path(os.environ["PORTKEY"]).resolve() / "build" / "start-server.js"
    headers = (
        "x-portkey-provider: openai",
        f"x-portkey-custom-host: http://127.0.0.1:{vendor.port}/v1",
    )
    command = ["node", script, f"--port={port}", "--headless"]
    env = {"NODE_ENV": "production", "ENTRY": str(entry)}
    with running(command, log=folder / "portkey.log", env=env) as process:
        yield _ready(Target("portkey", port, headers=headers), process)


def _program(name: str) -> str:
    return os.environ.get(name.upper()) or shutil.which(name) or ""


def installed() -> list[str]:
    """The peers that can be started here."""
    found = [name for name in ("nginx", "litellm") if _program(name)]
    return found + (["portkey"] if "PORTKEY" in os.environ and shutil.which("node") else [])


PEERS = {"nginx": nginx, "litellm": litellm, "portkey": portkey}

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
