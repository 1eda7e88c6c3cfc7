"""What operators do: `flask --app wsgi doctor`, `keys`, `accounts`, `usage`, `jobs`, `sessions`.

Commands read the settings when they need them, and start nothing: no workers, no simulators.
"""

from __future__ import annotations

import click

from gateway import logs
from gateway.commands.accounts import accounts
from gateway.commands.doctor import doctor
from gateway.commands.keys import keys
from gateway.commands.records import jobs, sessions, usage

COMMANDS = (doctor, keys, accounts, usage, jobs, sessions)


def register(group: click.Group) -> None:
    logs.configure("WARNING")
    for command in COMMANDS:
        group.add_command(command)
