"""Commands of operators for `flask --app wsgi`.

Commands read the settings when they need them, and start nothing: no workers, no simulators.
"""

from __future__ import annotations

import click

from gateway.cli.accounts import accounts
from gateway.cli.doctor import doctor
from gateway.cli.jobs import jobs
from gateway.cli.keys import keys
from gateway.cli.migrate import migrate
from gateway.cli.sessions import sessions
from gateway.cli.usage import usage
from gateway.cli.version import version
from gateway.runtime import logs

COMMANDS = (doctor, migrate, keys, accounts, usage, jobs, sessions, version)


def register(group: click.Group) -> None:
    logs.configure("ERROR")  # what is in the way is said once, and not as JSON
    for command in COMMANDS:
        group.add_command(command)
