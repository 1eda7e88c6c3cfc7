"""The project's own gunicorn configuration, but with short times and without the app."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from types import ModuleType

_ROOT = Path(__file__).parents[2]

# The worker needs nothing of the app, and importing it would slow every start down.
_package = ModuleType("gateway")
_package.__path__ = [str(_ROOT / "gateway")]
sys.modules["gateway"] = _package

_own = _ROOT / "gunicorn.conf.py"
exec(compile(_own.read_text(), _own, "exec"))

from gateway.server import Timeouts, Worker  # noqa: E402
from gateway.server.listening import open_listeners  # noqa: E402

QUICK = Timeouts(
    header_s=1.0,
    body_s=1.0,
    body_rate=1000.0,
    write_s=1.5,
    linger_s=1.0,
    linger_most_s=3.0,
    drain_soft_s=1.0,
    drain_hard_s=2.5,
    quit_s=1.0,
)


class Quick(Worker):
    timeouts = QUICK


worker_class = Worker if "TEST_REAL_TIMES" in os.environ else Quick


def on_starting(server):
    open_listeners(server)


def post_worker_init(worker):
    pass


def child_exit(server, worker):
    pass


def on_exit(server):
    pass
