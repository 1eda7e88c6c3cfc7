"""Heartbeats: bytes sent while a response is silent, so that no router gives it up."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from gateway.runtime.interruption import Heartbeat
from gateway.server.response import Headers, Response


class Heartbeats:
    """`EarlyResponse` of one request; the worker's ticker calls `send_if_due`."""

    __slots__ = ("_every_s", "_filler", "_headers", "_response", "broken", "due_at", "started")

    def __init__(self, response: Response) -> None:
        self._response = response
        self._headers: Callable[[], Headers] = tuple
        self._filler: Heartbeat = b""
        self._every_s = 0.0
        self.due_at = math.inf
        self.started = False
        self.broken = False

    def arm(
        self,
        *,
        filler: Heartbeat,
        first_after_s: float,
        every_s: float,
        headers: Callable[[], Headers],
    ) -> bool:
        """See `gateway.runtime.interruption.EarlyResponse`."""
        response = self._response
        if response.measured or (response.old and isinstance(filler, bytes) and filler.isspace()):
            return False
        self._headers, self._filler, self._every_s = headers, filler, every_s
        self.due_at = time.monotonic() + (every_s if response.head_sent else first_after_s)
        return True

    def disarm(self) -> None:
        """Send no more, and drop the app's functions: they refer to the environ, which has this."""
        self.due_at = math.inf
        self._headers, self._filler = tuple, b""

    def send_if_due(self, now: float) -> bool:
        """Send a heartbeat if the response is still silent; False to close the connection.

        Never waits: a full socket goes without its heartbeat, and after one that was sent in
        part nothing can follow.
        """
        response = self._response
        if response.measured:
            self.disarm()
            return True
        self.due_at = max(now, response.wrote_at + self._every_s)
        if self.due_at > now or response.writing or not response.at_event_end:
            return True
        filler = self._filler if isinstance(self._filler, bytes) else self._filler()
        sent = response.send_heartbeat(filler, self._headers)
        if sent:
            self.started = response.early_200
            self.due_at = now + self._every_s
        return sent is not False
