"""The socket under a request: noticing that the client left, and breaking off."""

from __future__ import annotations

import errno
import select
import socket
import struct
import time
from collections.abc import Mapping
from typing import Any, NoReturn

_KEYS = ("simulators.socket", "werkzeug.socket", "gunicorn.socket")
_LINGER_ZERO = struct.pack("ii", 1, 0)


class ClientLeft(ConnectionResetError):
    """The client closed its connection before the answer was complete."""


class Connection:
    """Client connection of a simulated vendor: waiting on it, and breaking it off."""

    def __init__(self, environ: Mapping[str, Any]) -> None:
        self._requests: int = environ.get("simulators.requests", 1)
        self._socket: socket.socket | None = next(
            (environ[key] for key in _KEYS if key in environ), None
        )

    def pause(self, seconds: float | None) -> None:
        """Wait, for ever with None; raises ClientLeft as soon as the client has gone."""
        if self._socket is None:
            time.sleep(3600 if seconds is None else seconds)
            return
        until = None if seconds is None else time.monotonic() + seconds
        poll = select.poll()
        poll.register(self._socket.fileno(), select.POLLIN)
        while poll.poll(None if until is None else max(0.0, until - time.monotonic()) * 1000):
            self.check()
            # Bytes of a next request are there: the poll would return at once for ever.
            time.sleep(0.05)
            if until is not None and time.monotonic() >= until:
                return

    def check(self) -> None:
        """Raise ClientLeft if the client has gone."""
        if self._socket is None:
            return
        poll = select.poll()
        poll.register(self._socket.fileno(), select.POLLIN)
        if not poll.poll(0):
            return
        try:
            gone = self._socket.recv(1, socket.MSG_PEEK) == b""
        except OSError:
            gone = True
        if gone:
            raise ClientLeft(errno.ECONNRESET, "the client left")

    @property
    def is_reused(self) -> bool:
        """True where the connection has carried a request before."""
        return self._requests > 1

    def close(self) -> NoReturn:
        """Close the connection; the client gets an end instead of an answer."""
        if self._socket is not None:
            self._socket.shutdown(socket.SHUT_RDWR)
        raise ConnectionResetError(errno.ECONNRESET, "closed on purpose")

    def reset(self) -> NoReturn:
        """Break the connection off; the client gets a reset instead of an ending."""
        if self._socket is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
        raise ConnectionResetError(errno.ECONNRESET, "broken off on purpose")
