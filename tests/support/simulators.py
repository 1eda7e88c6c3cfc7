"""The vendor simulators as a process of their own, and what they remember."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import requests

from tests.support.process import ROOT, clean_env

ENGINE = "projects/test/locations/global/collections/default_collection/engines/app"


@dataclass(frozen=True)
class Simulators:
    url: str

    @classmethod
    @contextmanager
    def started(cls) -> Iterator[Simulators]:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway.simulators", "--port", "0", "--until-eof"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=clean_env({}),
            cwd=ROOT,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield cls(process.stdout.readline().split()[-1])
        finally:
            process.stdin.close()
            process.wait(10)
            process.stdout.close()

    def ledger(self, *, requests_too: bool = True) -> dict[str, Any]:
        suffix = "" if requests_too else "?requests=0"
        return requests.get(f"{self.url}/_ledger{suffix}", timeout=10).json()

    def calls(self, credential: str) -> int:
        return self.ledger(requests_too=False)["calls"].get(credential, 0)

    def requests_of(self, credential: str) -> list[dict[str, Any]]:
        return [r for r in self.ledger()["requests"] if r["credential"] == credential]

    def operations(self, credential: str) -> dict[str, int]:
        return self.ledger(requests_too=False)["operations"].get(credential, {})

    def release(self, credential: str, pieces: int = 1) -> None:
        """Let a gated stream send on."""
        query = {"credential": credential, "n": pieces}
        requests.post(f"{self.url}/_control/release", params=query, timeout=10)

    def service_account(self, email: str, **options: int) -> str:
        query = {"email": email, **options}
        answer = requests.get(f"{self.url}/_control/service-account", params=query, timeout=10)
        answer.raise_for_status()
        return answer.text

    def until(
        self, condition: Callable[[dict[str, Any]], bool], *, within_s: float = 10
    ) -> dict[str, Any]:
        """Wait until the ledger satisfies a condition, and return it."""
        deadline = time.monotonic() + within_s
        while True:
            ledger = self.ledger(requests_too=False)
            if condition(ledger):
                return ledger
            if time.monotonic() > deadline:
                raise AssertionError(f"the ledger never got there: {ledger}")
            time.sleep(0.05)
