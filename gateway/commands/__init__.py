"""What operators do with `flask --app wsgi`.

Commands read the settings when they need them, and start nothing: no workers, no simulators.
"""

from __future__ import annotations

import click

from gateway import logs
from gateway.commands.accounts import accounts
from gateway.commands.doctor import doctor
from gateway.commands.keys import keys
from gateway.commands.migrate import migrate
from gateway.commands.records import jobs, sessions, usage

COMMANDS = (doctor, migrate, keys, accounts, usage, jobs, sessions)


def register(group: click.Group) -> None:
    logs.configure("ERROR")  # what is in the way is said once, and not as JSON
    for command in COMMANDS:
        group.add_command(command)
