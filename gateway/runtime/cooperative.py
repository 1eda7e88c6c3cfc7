"""Cooperation under gevent: work that never waits for a socket stops all other requests."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar, cast

_YIELD_BYTES = 1024 * 1024

P = ParamSpec("P")
T = TypeVar("T")


def cooperative_yield() -> None:
    """Let other greenlets run, including those that wait for a socket.

    A sleep of zero would run only the greenlets that are ready, before sockets are polled.
    """
    time.sleep(1e-9)


class YieldBudget:
    """Yields after each MiB of work that is never interrupted by a wait."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = _YIELD_BYTES

    def spend(self, byte_count: int) -> None:
        self._left -= byte_count
        if self._left < 0:
            self._left = _YIELD_BYTES
            cooperative_yield()


def hub() -> Any:
    """gevent's hub of this thread, None where sockets are not gevent's."""
    if not _patched():
        return None
    import gevent

    return gevent.get_hub()


def run_in_thread(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a call that waits for the disk or computes in C; under gevent, on a real thread."""
    found = hub()
    if found is None:
        return call(*args, **kwargs)
    return _apply(found.threadpool, call, *args, **kwargs)


class ThreadPool:
    """Real threads, `size` at most, for calls that may hang: `run_in_thread` has its own."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._pool: Any = None

    def run(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a call on one of the threads; without gevent, on the caller's own."""
        found = hub()
        if found is None:
            return call(*args, **kwargs)
        if self._pool is None:
            from gevent import threadpool

            self._pool = threadpool.ThreadPool(self._size, found)
        return _apply(self._pool, call, *args, **kwargs)


def unpatched(module: str, name: str) -> Any:
    """The standard library's `name`, also where gevent has put its own there."""
    if not _patched():
        return getattr(sys.modules[module], name)
    from gevent.monkey import get_original

    return get_original(module, name)


def _apply(pool: Any, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    from gevent.util import wrap_errors

    # The pool prints errors that are raised in it, so they come back as results.
    result = pool.apply(wrap_errors(Exception, call), args, kwargs)
    if isinstance(result, Exception):
        raise result
    return cast(T, result)


def _patched() -> bool:
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and monkey.is_module_patched("socket")
