"""Under gevent, work that never waits for a socket keeps every other request from running."""

from __future__ import annotations

import time


def let_others_run() -> None:
    """Give other greenlets a turn, those too that wait for a socket.

    A sleep of zero would only run what is ready already, before the sockets are polled.
    """
    time.sleep(1e-9)
