"""Under gevent, work that never waits for a socket keeps every other request from running."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

_TURN_BYTES = 1024 * 1024

P = ParamSpec("P")
T = TypeVar("T")


def let_others_run() -> None:
    """Give other greenlets a turn, those too that wait for a socket.

    A sleep of zero would only run what is ready already, before the sockets are polled.
    """
    time.sleep(1e-9)


class Turns:
    """Gives others a turn after each MiB of work that a ready socket or disk never interrupts."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = _TURN_BYTES

    def after(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            self._left = _TURN_BYTES
            let_others_run()


def aside(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a call that waits for the disk or computes in C; under gevent, on a real thread."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None or not monkey.is_module_patched("threading"):
        return call(*args, **kwargs)
    import gevent

    result: T = gevent.get_hub().threadpool.apply(call, args, kwargs)
    return result
