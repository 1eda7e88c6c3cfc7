"""Interruptions of a connection's greenlet: deadlines, disconnects and the drain."""

from __future__ import annotations

import fcntl
import math
import socket
import sys
import termios
import time
from typing import Any

import gevent

from gateway.runtime.interruption import ClientGone, DrainExit, Interrupted

_GRACE_S = 1.0  # what a drain leaves a new connection to ask for something, or to read


class CloseConnection(BaseException):
    """Ends a connection on which no request is under way."""


class HeadTimeout(BaseException):
    """The head of a request did not come in time."""


_CLOSED_STATES = frozenset({7, 8})  # of TCP: closed, and closed by the peer

_BETWEEN_REQUESTS = (CloseConnection, HeadTimeout)


class Deadlines:
    """Deadlines and interruptions of one connection, thrown into its greenlet.

    Costs no greenlet and no timer. There is one deadline, because a greenlet waits for
    one thing, and the worker's ticker looks at it. One watcher sleeps until the first
    byte of a request and, while one is answered, until the client leaves.

    Two kinds of throw: an expiry hits a wait of the worker's own, so it is always safe
    and always wanted; an interruption hits the app wherever it is, so it comes at most
    once per request and respects shields.
    """

    __slots__ = (
        "_deadline",
        "_expiry",
        "_fd",
        "_fresh",
        "_greenlet",
        "_hidden_end",
        "_hub",
        "_idle",
        "_interruptible",
        "_interruption",
        "_readable",
        "_sock",
        "shields",
        "stalled",
    )

    def __init__(self, sock: Any) -> None:
        self._greenlet = gevent.getcurrent()
        self._hub = gevent.get_hub()
        self._sock = sock
        self._fd: int = sock.fileno()
        self._readable = self._hub.loop.io(self._fd, 1)
        self._deadline = math.inf
        self._expiry: type[BaseException] = CloseConnection
        self._fresh = True
        self._idle = False
        self._interruptible = False
        self._hidden_end = False  # bytes wait that were sent ahead
        self._interruption: Interrupted | None = None
        self.shields = 0
        self.stalled = False  # the client does not take what is sent

    # Called by the greenlet.

    def expect(self, expiry: type[BaseException], seconds: float) -> None:
        """Throw `expiry` here if what follows takes longer."""
        self._expiry = expiry
        self._deadline = time.monotonic() + seconds

    def wait(self, watcher: Any, expiry: type[BaseException], seconds: float) -> bool:
        """See `gateway.runtime.interruption.Answering`."""
        hub = self._hub
        if gevent.getcurrent() is not self._greenlet or watcher.loop is not hub.loop:
            return False
        self._expiry = expiry
        self._deadline = time.monotonic() + seconds
        try:
            hub.wait(watcher)
        finally:
            self._deadline = math.inf
        return True

    def extend(self, seconds: float, most_s: float) -> None:
        """Give more time, but no more than `most_s` from now."""
        self._deadline = min(self._deadline + seconds, time.monotonic() + most_s)

    def done(self) -> float:
        """End what `expect` began; returns the seconds that were left."""
        left_s = self._deadline - time.monotonic()
        self._deadline = math.inf
        return left_s

    def await_first_byte(self) -> None:
        """Wait in the hub, where other connections get their turn, until `expect` ends it."""
        self._idle = True
        try:
            self._hub.wait(self._readable)
        finally:
            self._idle = False
            self._deadline = math.inf

    def begin_request(self) -> None:
        self._fresh = False
        self._hidden_end = False
        self._interruption = None
        self._interruptible = True

    def end_request(self) -> None:
        """From here on nothing is interrupted: what follows is clean-up."""
        self._interruptible = False
        self._readable.stop()

    def watch(self) -> None:
        """Interrupt the request when the client leaves; its body must have been read."""
        if self._interruptible:
            self._readable.start(self._on_readable)

    def end_of_shield(self) -> None:
        """See `gateway.runtime.interruption.Answering`."""
        reason = self._interruption
        if reason and not self.shields and gevent.getcurrent() is self._greenlet:
            self._interruption = None
            raise reason

    def bytes_waiting(self) -> int:
        raw = fcntl.ioctl(self._fd, termios.FIONREAD, bytes(4))
        return int.from_bytes(raw, sys.byteorder)

    def close(self) -> None:
        self._readable.stop()
        self._readable.close()

    # Called by the hub, while the greenlet waits.

    def tick(self, now: float) -> None:
        if self._hidden_end and self._interruptible and _peer_closed(self._sock):
            self.interrupt(ClientGone("closed by the client"))
        if now < self._deadline:
            return
        if self._idle and self.bytes_waiting():
            return  # a request has come: after a pause of the loop its time is told before it
        self._deadline = math.inf
        if self._expiry is ClientGone:
            self.stalled = True
            self._interruptible = False
        self._greenlet.throw(self._expiry)

    def close_idle(self) -> bool:
        """Close the connection if it waits for a request of which nothing has come."""
        if not self._idle or self.bytes_waiting():
            return False
        self._greenlet.throw(CloseConnection)
        return True

    def drain(self, now: float, *, at_once: bool) -> None:
        """Hang up if nothing is asked; `at_once`, interrupt what is."""
        if at_once and self._interruptible:
            self.interrupt(DrainExit("the process is ending"))
            return
        waits = self._deadline < math.inf and self._expiry in _BETWEEN_REQUESTS
        idle = self._idle and not self._fresh and not self.bytes_waiting()
        if idle or (at_once and waits):
            self._greenlet.throw(CloseConnection)
        elif waits and self._expiry is CloseConnection:
            # A request may be on its way, or a client may still be reading an error.
            self._deadline = min(self._deadline, now + _GRACE_S)

    def interrupt(self, reason: Interrupted) -> None:
        """Throw `reason`, unless the request is over or was interrupted before."""
        if not self._interruptible:
            return
        self._interruptible = False
        self._readable.stop()
        if self.shields:
            self._interruption = reason
        else:
            self._greenlet.throw(reason)

    def _on_readable(self) -> None:
        # Readable without bytes is the end, or a reset. Bytes are the next request, sent ahead:
        # they hide the end behind them, so from here on the ticker asks TCP for it.
        self._readable.stop()
        if not self.bytes_waiting():
            self.interrupt(ClientGone("closed by the client"))
        else:
            self._hidden_end = True


def _peer_closed(sock: Any) -> bool:
    """True when the peer has closed its side, even behind bytes that are unread."""
    try:
        state: bytes = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)
    except OSError:  # a Unix socket
        return False
    return state[0] in _CLOSED_STATES
