"""Under gevent, work that never waits for a socket keeps every other request from running."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

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


def hub() -> Any:
    """gevent's hub of this thread, None where sockets are not gevent's."""
    if not _patched():
        return None
    import gevent

    return gevent.get_hub()


def aside(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a call that waits for the disk or computes in C; under gevent, on a real thread."""
    found = hub()
    if found is None:
        return call(*args, **kwargs)
    return _applied(found.threadpool, call, *args, **kwargs)


class Threads:
    """Real threads, `size` at most, for calls that may hang: those of `aside` are left alone."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._pool: Any = None

    def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call on one of the threads; without gevent, on the caller's own."""
        found = hub()
        if found is None:
            return call(*args, **kwargs)
        if self._pool is None:
            from gevent.threadpool import ThreadPool

            self._pool = ThreadPool(self._size, found)
        return _applied(self._pool, call, *args, **kwargs)


def as_imported(module: str, name: str) -> Any:
    """What the standard library has under `name`, also where gevent has put its own there."""
    if not _patched():
        return getattr(sys.modules[module], name)
    from gevent.monkey import get_original

    return get_original(module, name)


def _applied(pool: Any, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    from gevent.util import wrap_errors

    # The pool prints what is raised in it, so errors come back as results.
    result = pool.apply(wrap_errors(Exception, call), args, kwargs)
    if isinstance(result, Exception):
        raise result
    return cast(T, result)


def _patched() -> bool:
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and monkey.is_module_patched("socket")
