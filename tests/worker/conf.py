"""The project's own gunicorn configuration, but for the demo and with short times."""

from __future__ import annotations

import os
from pathlib import Path

_own = Path(__file__).parents[2] / "gunicorn.conf.py"
exec(compile(_own.read_text(), _own, "exec"))  # first of all, for it patches what others import

from gateway.worker import Times, Worker  # noqa: E402
from gateway.worker.listening import open_listeners  # noqa: E402

QUICK = Times(
    header_s=1.0,
    body_s=1.0,
    body_rate=1000.0,
    write_s=1.5,
    linger_s=1.0,
    drain_soft_s=1.5,
    drain_hard_s=4.0,
    quit_s=1.0,
)


class Quick(Worker):
    times = QUICK


worker_class = Worker if "TEST_REAL_TIMES" in os.environ else Quick


def on_starting(server):
    open_listeners(server)


def post_worker_init(worker):
    pass
