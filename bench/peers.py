"""Who the gateway is measured beside. `bench/install-peers.sh` installs them, without the
prototypes, in the folder that BENCH_PEERS names: ~/.cache/gateway-bench."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from getpass import getuser
from pathlib import Path

from bench.machine import free_port, running
from bench.targets import KEY, Target, ready

FOLDER = Path(os.environ.get("BENCH_PEERS") or Path.home() / ".cache" / "gateway-bench")
MODELS = ("fast", "stream-20x0", "stream-200x0", "stream-50x20", "stream-50x100", "slow-20000")

NGINX = """
user {user}; worker_processes 2; worker_rlimit_nofile 20000; daemon off; pid {folder}/nginx.pid;
error_log {folder}/nginx.log warn;
events {{ worker_connections 9000; }}
http {{
    access_log off; tcp_nodelay on; keepalive_timeout 75s; keepalive_requests 1000000;
    client_max_body_size 32m; client_body_buffer_size 64k;
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
def _nginx(vendor: Target, folder: Path) -> Iterator[Target]:
    port = free_port()
    conf = folder / "nginx.conf"
    conf.write_text(NGINX.format(folder=folder, vendor=vendor.port, port=port, user=getuser()))
    with running([program("nginx"), "-c", conf], log=folder / "nginx.out") as process:
        yield ready(Target("nginx", port), process)


@contextmanager
def _litellm(vendor: Target, folder: Path) -> Iterator[Target]:
    """LiteLLM's proxy with its production settings."""
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
        + "litellm_settings: {request_timeout: 600, set_verbose: false, num_retries: 0}\n"
        + f"general_settings: {{master_key: {KEY}}}\n"
    )
    env = {
        "LITELLM_MODE": "PRODUCTION",
        "LITELLM_LOG": "ERROR",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        "TIMEOUT_WORKER_HEALTHCHECK": "120",  # or a busy machine kills its workers at every start
    }
    command = [program("litellm"), "--config", conf, "--host", "127.0.0.1"]
    command += ["--port", str(port), "--num_workers", "2"]
    with running(command, log=folder / "litellm.log", env=env) as process:
        yield ready(Target("litellm", port), process)


_PORTKEY = "portkey/node_modules/@portkey-ai/gateway/build/start-server.js"
_CLUSTER = """
const cluster = require('node:cluster');
cluster.setupPrimary({ exec: process.env.ENTRY, args: process.argv.slice(2) });
cluster.fork(); cluster.fork();
process.on('SIGTERM', () => process.exit(0));
"""


@contextmanager
def _portkey(vendor: Target, folder: Path) -> Iterator[Target]:
    """Two processes of Portkey's gateway that share a port."""
    port = free_port()
    script = folder / "portkey.js"
    script.write_text(_CLUSTER)
    headers = (
        "x-portkey-provider: openai",
        f"x-portkey-custom-host: http://127.0.0.1:{vendor.port}/v1",
    )
    command = [program("node"), script, f"--port={port}", "--headless"]
    env = {"NODE_ENV": "production", "ENTRY": str(FOLDER / _PORTKEY)}
    with running(command, log=folder / "portkey.log", env=env) as process:
        yield ready(Target("portkey", port, headers=headers), process)


# The smallest gateways of this stack: one endpoint with a key, nothing else. `naive` as one
# writes it first, `full` as fast as its author could make it, `min` without schema and limiter.
_FAST = {"CLIENT": "requests_fast", "JSON": "orjson", "SSE": "batch", "POOL": "5000"}
_CHECKS = {"SCHEMA": "marshmallow", "LIMIT": "memory"}
_NAIVE = {"CLIENT": "requests", "JSON": "std", "SSE": "lines", "POOL": "5000"}
_SERVED = (
    *("-w", "2", "--worker-connections", "5000", "--keep-alive", "75", "--backlog", "4096"),
    *("--no-control-socket", "--http-parser", "auto", "--log-level", "warning"),
    *("--timeout", "120"),
)
_FAST_WORKER = ("-k", "fastworker.Worker", "--reuse-port")
_PROTOTYPES: Mapping[str, tuple[tuple[str, ...], Mapping[str, str]]] = {
    "gw-naive": (("-k", "gevent"), {**_NAIVE, **_CHECKS}),
    "gw-full": (_FAST_WORKER, {**_FAST, **_CHECKS}),
    "gw-min": (_FAST_WORKER, _FAST),
}


@contextmanager
def _prototype(name: str, vendor: Target, folder: Path) -> Iterator[Target]:
    home = FOLDER / "prototypes"
    worker, env = _PROTOTYPES[name]
    port = free_port()
    command = [home / "venv/bin/gunicorn", "-b", f"127.0.0.1:{port}", *worker, *_SERVED]
    env = {**env, "UP": f"http://127.0.0.1:{vendor.port}"}
    with running([*command, "app:app"], log=folder / f"{name}.log", env=env, cwd=home) as process:
        yield ready(Target(name, port, key="sk-bench"), process)


def program(name: str) -> str:
    """Where a program is, installed here or anywhere; empty when it is not."""
    found = FOLDER / name / "bin" / name
    return str(found) if found.exists() else shutil.which(name) or ""


Start = Callable[[Target, Path], AbstractContextManager[Target]]
PEERS: Mapping[str, Start] = {
    "nginx": _nginx,
    "litellm": _litellm,
    "portkey": _portkey,
    **{name: partial(_prototype, name) for name in _PROTOTYPES},
}


def installed() -> list[str]:
    """The peers that can be started here."""
    there = {
        "nginx": bool(program("nginx")),
        "litellm": bool(program("litellm")),
        "portkey": bool(program("node")) and (FOLDER / _PORTKEY).exists(),
        **dict.fromkeys(_PROTOTYPES, (FOLDER / "prototypes/venv/bin/gunicorn").exists()),
    }
    return [name for name, found in there.items() if found]


def chosen(text: str | None) -> list[str]:
    """What --peers names; `all` and nothing at all stand for those that are installed."""
    names = installed() if text in (None, "all") else [name for name in text.split(",") if name]
    missing = sorted({*names} - {*installed()})
    if missing:
        sys.exit(f"bench: not installed: {', '.join(missing)}; see bench/install-peers.sh")
    return names
