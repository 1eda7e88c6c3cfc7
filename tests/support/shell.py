"""The commands of operators, run as they would be."""

from __future__ import annotations

import json
import os
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import click
from click.testing import CliRunner

from gateway.cli import COMMANDS
from tests.support.process import BIN, ROOT, clean_env, run

_GROUP = click.Group(commands=COMMANDS)


@dataclass
class Shell:
    """Runs commands as processes in a folder, with settings."""

    directory: Path
    settings: dict[str, str]

    def __call__(self, *words: str, stdin: str | None = None, **more: str) -> CompletedProcess[str]:
        command = [BIN / "flask", "--app", ROOT / "wsgi.py", *words]
        env = clean_env(self.settings | more)
        return run(command, env=env, cwd=self.directory, input=stdin)

    def ok(self, *words: str, **kw: Any) -> str:
        done = self(*words, **kw)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def json(self, *words: str, **kw: Any) -> Any:
        return json.loads(self.ok(*words, "--json", **kw))


class QuickShell(Shell):
    """Runs them in this process, in the same folder and environment."""

    def __call__(self, *words: str, stdin: str | None = None, **more: str) -> CompletedProcess[str]:
        env = clean_env(self.settings | more)
        gone = {name: None for name in os.environ if name not in env}
        with chdir(self.directory):
            done = CliRunner().invoke(_GROUP, words, env=env | gone, input=stdin)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return CompletedProcess(words, done.exit_code, done.stdout, done.stderr)
