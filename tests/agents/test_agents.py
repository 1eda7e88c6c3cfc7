"""Coding agents write a file through the gateway, over the protocols of three vendors.

They are installed from npm and PyPI; `make agents` runs them, and nothing else does.
"""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.agents.programs import AGENTS, installed
from tests.agents.stand_in import stand_in

KEY = "key-of-the-agents-01"
CACHE = Path(os.environ.get("AGENTS_CACHE") or Path.home() / ".cache" / "gateway-agents")
UPSTREAMS = {"openai": "/v1", "ark": "/api/v3", "gemini": ""}
LIMIT_S = 180
RUNS = [(agent, model) for agent in AGENTS for model in agent.models]


def routes(upstream: str) -> str:
    """A route for every name that an agent asks for."""
    names = sorted({model for agent in AGENTS for model in agent.models})
    tables = [
        f'[models."{name}"]\nkind = "chat"\n'
        f'routes = [{{ upstream = "{upstream}", model = "{name}" }}]\n'
        for name in names
    ]
    account = (
        f'[[accounts]]\nname = "stand-in"\nupstream = "{upstream}"\ncredential = "sk-stand-in"\n'
    )
    return account + "\n".join(tables)


def end_all(folder: Path) -> None:
    """End what the agent has left behind: daemons leave its group, but not its home."""
    for process in psutil.process_iter(["pid", "environ"]):
        if (process.info["environ"] or {}).get("HOME") == str(folder):
            try:
                process.send_signal(signal.SIGKILL)
            except psutil.Error:
                continue


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize(("agent", "model"), RUNS, ids=[f"{a.name}-{m}" for a, m in RUNS])
def test_an_agent_writes_a_file(gateway_factory, tmp_path, agent, model, upstream):
    program, node = installed(agent, CACHE)
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    with stand_in(str(work)) as vendor:
        settings = {
            f"{upstream.upper()}_BASE_URL": vendor + UPSTREAMS[upstream],
            "GATEWAY_KEYS": f"agents={KEY}",
            "GATEWAY_POOL_ACCESS": "keys",
        }
        with gateway_factory.started(
            accounts=False, workers=1, toml=routes(upstream), **settings
        ) as gateway:
            arguments, variables = agent.command(home, gateway.url, KEY, model)
            env = {
                "PATH": f"{node}:{os.environ['PATH']}" if node else os.environ["PATH"],
                "HOME": str(home),
                "NO_COLOR": "1",
                **variables,
            }
            try:
                done = subprocess.run(
                    [str(program), *arguments],
                    cwd=work,
                    env=env,
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    text=True,
                    timeout=LIMIT_S,
                )
            finally:
                end_all(home)
    file = work / "hello.txt"
    assert file.exists(), f"{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    assert file.read_text().strip() == "hello"
