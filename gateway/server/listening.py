"""Listening sockets: one accept queue per worker, kept by the arbiter.

Workers that wait on one queue share it badly: whoever wakes first takes a burst. With
SO_REUSEPORT the kernel deals connections out to several queues, but gunicorn's
`reuse_port` gives each worker its own, and what waits in a queue is reset when its
worker ends. So the arbiter opens one queue per worker and keeps them all while workers
come and go. A worker takes from its own at once, and from time to time what a busy or
absent sibling left in another.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import gevent
from gunicorn.sock import TCPSocket, close_sockets, create_sockets
from gunicorn.systemd import listen_fds

FILES_PER_CONNECTION = 4  # the client, the vendor, and files of some requests
_BURST = 64  # connections taken before the others have a turn

Handler = Callable[[Any, Any], None]


class HasSlot(Protocol):
    slot: int


class _Sharing:
    """gunicorn's settings with `reuse_port` on."""

    reuse_port = True

    def __init__(self, cfg: Any) -> None:
        self._cfg = cfg

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cfg, name)


def open_listeners(arbiter: Any) -> None:
    """Give the arbiter its listeners; gunicorn's `on_starting` hook.

    Listeners handed over by systemd or by a former arbiter stay as they are, and so
    does what the operator chose with `reuse_port`.
    """
    cfg, log = arbiter.cfg, arbiter.log
    if arbiter.master_pid or cfg.reuse_port or listen_fds(unset_environment=False):
        return
    listeners: list[Any] = create_sockets(cfg, log)
    for first in [each for each in listeners if isinstance(each, TCPSocket)]:
        # Bound once without sharing, so that a port in use by others stops the start.
        address = first.getsockname()
        close_sockets([first])
        listeners.remove(first)
        listeners += [type(first)(address, _Sharing(cfg), log) for _ in range(cfg.workers)]
    arbiter.LISTENERS = listeners
    log.error_log.addFilter(_each_address_once)


def _each_address_once(record: logging.LogRecord) -> bool:
    """gunicorn says where it listens by naming every queue."""
    if str(record.msg).startswith("Listening at") and isinstance(record.args, tuple):
        addresses, *rest = record.args
        record.args = (",".join(dict.fromkeys(str(addresses).split(","))), *rest)
    return True


def choose_slot(arbiter: Any, worker: HasSlot) -> None:
    """Give a new worker the queue that has the fewest; gunicorn's `pre_fork` hook."""
    taken = [sibling.slot for sibling in arbiter.WORKERS.values()]
    worker.slot = min(range(arbiter.cfg.workers), key=taken.count)


class Acceptor:
    """Takes connections from one listener, in a greenlet each."""

    def __init__(
        self, listener: Any, handle: Handler, has_room: Callable[[], bool], log: logging.Logger
    ) -> None:
        listener.setblocking(0)
        self._listener = listener
        self._handle = handle
        self._has_room = has_room
        self._log = log
        self._watcher = gevent.get_hub().loop.io(listener.fileno(), 1)
        self._failing = False

    def start(self) -> None:
        """Take connections as they come; after a pause too."""
        if not self._watcher.active:
            self._watcher.start(self.take)

    def take(self) -> None:
        """Take what waits; called by the hub."""
        for _ in range(_BURST):
            if not self._has_room():
                self._watcher.stop()
                return
            try:
                client, address = self._listener.accept()
            except BlockingIOError:
                return
            except ConnectionError:  # it was reset while it waited
                continue
            except OSError as error:
                self._watcher.stop()
                if not self._failing:
                    self._log.error("cannot accept connections: %s", error)
                self._failing = True
                return
            self._failing = False
            gevent.spawn(self._handle, client, address)

    def close(self) -> None:
        self.take()
        self._watcher.stop()
        self._watcher.close()
        self._listener.close()


def acceptors(
    listeners: Iterable[Any], slot: int, build: Callable[[Any], Acceptor]
) -> tuple[list[Acceptor], list[Acceptor]]:
    """Acceptors for a worker's own listeners, one per address, and for its siblings'."""
    by_address: dict[Any, list[Any]] = {}
    for listener in listeners:
        by_address.setdefault(listener.getsockname(), []).append(listener)
    own: list[Acceptor] = []
    others: list[Acceptor] = []
    for group in by_address.values():
        for position, listener in enumerate(group):
            (own if position == slot % len(group) else others).append(build(listener))
    return own, others
