"""Under gevent, work that never waits for a socket keeps every other request from running."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def let_others_run() -> None:
    """Give other greenlets a turn, those too that wait for a socket.

    A sleep of zero would only run what is ready already, before the sockets are polled.
    """
    time.sleep(1e-9)


def aside(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a call that waits for the disk or computes in C; under gevent, on a real thread."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None or not monkey.is_module_patched("threading"):
        return call(*args, **kwargs)
    import gevent

    result: T = gevent.get_hub().threadpool.apply(call, args, kwargs)
    return result
