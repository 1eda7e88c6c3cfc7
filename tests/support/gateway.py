"""The gateway as it is deployed: gunicorn with the project's own configuration."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Any

import psutil
import pytest
import requests

from tests.support.process import BIN, ROOT, clean_env, free_port, running, wait_for
from tests.support.simulators import ENGINE, Simulators


@dataclass(frozen=True)
class Gateway:
    url: str
    log: Path
    directory: Path
    process: Popen[bytes]

    def post(self, path: str, body: Any = None, *, key: str | None = None, **kw: Any) -> Any:
        headers = dict(kw.pop("headers", {}))
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        kw.setdefault("timeout", 60)
        return requests.post(self.url + path, json=body, headers=headers, **kw)

    def get(self, path: str, *, key: str | None = None, **kw: Any) -> Any:
        headers = dict(kw.pop("headers", {}))
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        kw.setdefault("timeout", 60)
        return requests.get(self.url + path, headers=headers, **kw)

    def workers(self) -> list[psutil.Process]:
        return [child for child in psutil.Process(self.process.pid).children() if _serves(child)]

    def events(self, name: str) -> list[dict[str, Any]]:
        """The lines of the log that tell of one kind of event."""
        lines = [line for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [event for event in map(json.loads, lines) if event.get("event") == name]

    def chat(self, text: str = "Hello", *, model: str = "doubao", **kw: Any) -> Any:
        key, headers = kw.pop("key", None), kw.pop("headers", {})
        body = {"model": model, "messages": [{"role": "user", "content": text}], **kw}
        return self.post("/v1/chat/completions", body, key=key, headers=headers)


def _serves(process: psutil.Process) -> bool:
    try:
        return "gunicorn" in " ".join(process.cmdline())
    except psutil.Error:
        return False


class GatewayFactory:
    def __init__(self, tmp_path_factory: pytest.TempPathFactory, simulators: Simulators) -> None:
        self._tmp = tmp_path_factory
        self._simulators = simulators

    def vendors(self) -> dict[str, str]:
        """Settings that point every upstream at the simulators."""
        url = self._simulators.url
        return {
            "ARK_BASE_URL": f"{url}/ark/api/v3",
            "GEMINI_BASE_URL": f"{url}/gemini",
            "GEMINI_ENTERPRISE_BASE_URL": f"{url}/gemini-enterprise",
            "OPENAI_BASE_URL": f"{url}/openai/v1",
        }

    @contextmanager
    def started(
        self,
        *,
        accounts: bool = True,
        vendors: bool = True,
        workers: int = 2,
        toml: str | None = None,
        app: str = "wsgi:app",
        before: Sequence[str] = (),
        **settings: str,
    ) -> Iterator[Gateway]:
        """Run gunicorn; `settings` are environment variables on top of the test's defaults.

        `before` is a command that starts it, such as `prlimit`.
        """
        directory = self._tmp.mktemp("gateway")
        port = int(settings.get("PORT") or free_port())
        env = {
            "PORT": str(port),
            "HOST": "127.0.0.1",
            "WEB_CONCURRENCY": str(workers),
            "GATEWAY_POOL_ACCESS": "open",
            "GATEWAY_ALLOW_PRIVATE_URLS": "127.0.0.1",
            "GATEWAY_RATE_LIMIT": "1000000/minute",
            "GATEWAY_AFFINITY": "off",  # tests repeat one prompt and expect all accounts
        }
        env |= self.vendors() if vendors else {}
        if accounts:
            email = "pool@test.iam.gserviceaccount.com"
            env |= {
                "ARK_API_KEYS": "ark-pool",
                "GEMINI_API_KEYS": "AIza-pool",
                "OPENAI_API_KEYS": "sk-pool",
                "OPENAI_MODELS": "test-model",
                "GEMINI_ENTERPRISE_ENGINE": ENGINE,
                "GEMINI_ENTERPRISE_CREDENTIALS": self._simulators.service_account(email),
            }
        if toml is not None:
            (directory / "gateway.toml").write_text(toml)
        env |= settings
        log = directory / "gateway.log"
        command = [*before, str(BIN / "gunicorn"), "-c", str(ROOT / "gunicorn.conf.py"), app]
        with running(command, env=clean_env(env), cwd=directory, log=log) as process:
            url = f"http://127.0.0.1:{port}"
            wait_for(f"{url}/health", process, log)
            yield Gateway(url, log, directory, process)
