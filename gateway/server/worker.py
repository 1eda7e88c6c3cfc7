"""The gunicorn worker: accepts, keeps time, and ends without losing what it has begun."""

from __future__ import annotations

import math
import os
import resource
import socket
import sys
import time
from functools import partial
from itertools import islice
from types import FrameType
from typing import Any, ClassVar

import gevent
from gevent.event import Event
from gunicorn.workers.base import Worker as BaseWorker
from gunicorn.workers.ggevent import GeventWorker

from gateway.runtime.interruption import process
from gateway.server import environ
from gateway.server.connection import Connection
from gateway.server.listening import FILES_PER_CONNECTION, Acceptor, acceptors
from gateway.server.timeouts import Timeouts

_TICK_S = 0.25
_SHORTEST_IDLE_S = 2.0
_TRIED_IDLE = 16  # others have a request on its way
_POLL_S = 0.05
_UNSENT_BYTES = 128 * 1024


class ParserConfig:
    """gunicorn's settings, each looked up once: the parser asks for twenty per request."""

    def __init__(self, cfg: Any) -> None:
        self._cfg = cfg
        if not cfg.forwarder_headers and not cfg.secure_scheme_headers:
            # Nobody has a privilege, so nobody's address need be compared.
            self.forwarded_allow_ips = ["*"]

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._cfg, name)
        setattr(self, name, value)
        return value


class Worker(GeventWorker):  # type: ignore[misc]
    """Serves HTTP/1 with one greenlet per connection.

    Beyond gunicorn's gevent worker: times for every phase of a request, interruption of
    requests whose client left, heartbeats in slow answers, errors in OpenAI's envelope,
    and a drain that ends before the arbiter's patience does. It writes no access log and
    calls no per-request hooks; the app keeps its own records.
    """

    timeouts: ClassVar[Timeouts] = Timeouts()

    slot: int = 0  # which of the listeners is this worker's own
    alive: bool
    parser_cfg: ParserConfig

    @classmethod
    def check_config(cls, cfg: Any, log: Any) -> None:
        """Called by the arbiter before it forks."""
        if cfg.is_ssl:
            sys.exit("certfile, keyfile: this worker speaks plain HTTP, let a proxy end TLS")

    def init_process(self) -> None:
        self.connections: set[Connection] = set()
        self._wake = Event()
        self._interrupt_at = self._exit_at = math.inf
        self._ticked_at = time.monotonic()
        self.idle: dict[Connection, None] = {}  # waiting for a request, longest first
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self._most_connections = min(int(self.worker_connections), files // FILES_PER_CONNECTION)
        self.parser_cfg = ParserConfig(self.cfg)
        super().init_process()

    def run(self) -> None:
        own, others = acceptors(self.sockets, self.slot, self._acceptor)
        ticker = gevent.get_hub().loop.timer(_TICK_S, _TICK_S)
        self._ticked_at = time.monotonic()
        ticker.start(self._tick, own, others)
        while self.alive:
            self.notify()
            self._wake.wait(1.0)
        for acceptor in own + others:
            acceptor.close()
        self._drain()
        ticker.stop()
        ticker.close()

    def _acceptor(self, listener: Any) -> Acceptor:
        _tune(listener, self.timeouts)
        handle = partial(self.handle, environ.common(self.cfg, listener.getsockname()))
        return Acceptor(listener, handle, self._make_room, self.log)

    @property
    def idle_s(self) -> float:
        """Time that an idle connection is kept; it shrinks once the worker is half full."""
        free = 1 - len(self.connections) / self._most_connections
        return max(_SHORTEST_IDLE_S, float(self.cfg.keepalive) * min(1.0, 2 * free))

    def _make_room(self) -> bool:
        """Tell if a connection may be accepted, for which the longest idle one may be closed."""
        if len(self.connections) < self._most_connections:
            return True
        for connection in tuple(islice(self.idle, _TRIED_IDLE)):
            if connection.deadlines.close_idle():
                return True
        return False

    def handle(self, base: environ.Environ, client: Any, address: Any) -> None:
        Connection(self, base, client, address).serve()

    def count_request(self) -> None:
        """Retire after `max_requests`: take no more, and end when the last answer is given.

        Nothing is cut off, so the replacement, which the arbiter starts after that, may
        be a long stream away.
        """
        self.nr += 1
        if self.nr >= self.max_requests and self.alive:
            self.log.info("retiring after %d requests", self.nr)
            self.alive = False
            self._wake.set()

    def notify(self) -> None:
        BaseWorker.notify(self)
        if self.ppid != os.getppid() and self._exit_at == math.inf:
            self.log.info("the arbiter is gone, shutting down")
            self._end(self.timeouts.drain_soft_s, self.timeouts.drain_hard_s)

    # Signal handlers run between any two bytecodes of any greenlet: they only take notes.

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._end(self.timeouts.drain_soft_s, self.timeouts.drain_hard_s)

    def handle_quit(self, sig: int, frame: FrameType | None) -> None:
        self.cfg.worker_int(self)
        self._end(0.0, self.timeouts.quit_s)

    def handle_abort(self, sig: int, frame: FrameType | None) -> None:
        """The arbiter found the loop stuck: end what is running right now, then the rest."""
        self.cfg.worker_abort(self)
        self._end(0.0, self.timeouts.quit_s)
        raise SystemExit(1)

    def _end(self, soft_s: float, hard_s: float) -> None:
        """Signals come more than once and from several sides; the first clock counts."""
        now = time.monotonic()
        self._interrupt_at = min(self._interrupt_at, now + soft_s)
        self._exit_at = min(self._exit_at, now + hard_s)
        self.alive = False
        self._wake.set()

    def _tick(self, own: list[Acceptor], others: list[Acceptor]) -> None:
        """Called by the hub, so nothing here may wait."""
        now = time.monotonic()
        process.lags_s.append(max(0.0, now - self._ticked_at - _TICK_S))
        self._ticked_at = now
        for connection in tuple(self.connections):
            connection.tick(now)
        if self.alive:
            for acceptor in own:
                acceptor.start()
            for acceptor in others:
                acceptor.take()
        else:
            at_once = now >= self._interrupt_at
            for connection in tuple(self.connections):
                connection.deadlines.drain(now, at_once=at_once)

    def _drain(self) -> None:
        callbacks = [gevent.spawn(callback) for callback in process.begin_drain()]
        while time.monotonic() < self._exit_at:
            self.notify()
            gevent.sleep(_POLL_S)
            if not self.connections and all(callback.ready() for callback in callbacks):
                return
        self.log.warning("ending with %d connections unfinished", len(self.connections))


def _tune(listener: socket.socket, timeouts: Timeouts) -> None:
    """Options that connections inherit: what a dead or stalled reader may cost."""
    if listener.family == socket.AF_UNIX:
        return
    # Written but not sent; what was sent is bounded by the reader's own window.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT_BYTES)
    # A reader that vanished without a word is noticed when it acknowledges nothing.
    timeout_ms = round(timeouts.write_s * 1000)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, timeout_ms)
