"""Timeouts of the worker."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds, but for the rate. The idle time of a connection is gunicorn's `keepalive`."""

    header_s: float = 10.0  # from a request's first byte, or from accept, to the end of its head
    body_s: float = 20.0  # for a body to begin, and at most for its next bytes
    body_rate: float = 1000.0  # so many bytes received win back one second
    write_s: float = 60.0  # for a reader to take something
    linger_s: float = 5.0  # of silence, for a client that was answered before its body was read
    linger_most_s: float = 30.0  # for that client in all
    drain_soft_s: float = 15.0  # from SIGTERM to DrainExit
    drain_hard_s: float = 23.0  # from SIGTERM to the end, whatever still runs
    quit_s: float = 1.5  # from SIGINT or SIGQUIT to the end
