"""The interface between the server and the code that answers a request.

The worker implements it. Without a worker (scripts, tests of the app in process) nothing is
interrupted or draining, and there is no early response.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Protocol

from gateway.domain.errors import InvalidRequest, RequestTimeout

Heartbeat = bytes | Callable[[], bytes]
"""Bytes to send while a response is silent, or a call that makes them (in the hub: no waiting)."""

EARLY_RESPONSE = "gateway.early_response"
"""Key of the request's `EarlyResponse` in the WSGI environ."""


class Interrupted(BaseException):
    """Thrown into the greenlet of a request, at most once, wherever it waits.

    No error handler takes it for an error; `with` and `finally` run as for any
    exception, and what they wait for is not interrupted again.
    """


class ClientGone(Interrupted):
    """The client disconnected.

    It closed or reset the connection, shut down its sending side (which counts as leaving,
    as in nginx and Go), or has read nothing for too long. The app lets it pass: the worker
    closes the connection and logs nothing.
    """


class DrainExit(Interrupted):
    """The process must end soon: say so to the client (event or 503) and return.

    Where it is not caught the worker answers 503, or breaks the answer off.
    """


class BodyTimeout(RequestTimeout):
    """Raised by reads of `wsgi.input` when the body comes too slowly."""

    def __init__(self) -> None:
        super().__init__("The request body arrived too slowly; send it again, faster.")


class IncompleteBody(InvalidRequest):
    """Raised by reads of `wsgi.input` when the body ends early or its framing is broken."""

    code = "incomplete_body"


class EarlyResponse(Protocol):
    """Heartbeats for a slow response, which keep the client and its routers waiting."""

    started: bool
    """Status 200 and the armed headers are sent. The app's own head will be ignored."""

    broken: bool
    """The response was broken off after `started`, so the client saw no end of it."""

    def arm(
        self,
        *,
        filler: Heartbeat,
        first_after_s: float,
        every_s: float,
        headers: Callable[[], Sequence[tuple[str, str]]],
    ) -> bool:
        """Send `filler` whenever the response is silent; False where that is impossible.

        Without a response after `first_after_s` the worker sends status 200, what `headers`
        then returns (asked in the hub, so it must not wait), and `filler`; from then on
        `filler` follows each silence of `every_s`, also between the app's own writes if the
        last of them ended with an empty line. The app's response then only adds its body; if
        its status is not 2xx, or it raises, the body is broken off.

        White space fills a JSON response: not for HTTP/1.0, where a broken one looks
        like a complete one. Never for HEAD. Once the app has announced a length, a
        body-less status or an error, nothing more is filled in.
        """
        ...

    def disarm(self) -> None: ...


class Answering(Protocol):
    """The request that a greenlet is answering."""

    shields: int

    def wait(self, watcher: object, expiry: type[BaseException], seconds: float) -> bool:
        """Wait for a watcher of gevent's; after too long `expiry` is thrown.

        That may be a quarter of a second late, and is cheaper than a timer. False, without
        a wait, in a greenlet that works for the request but is not the one answering it.
        """
        ...

    def end_of_shield(self) -> None:
        """Raise the interruption that came meanwhile, if any."""
        ...


answering: ContextVar[Answering | None] = ContextVar("answering", default=None)


@contextmanager
def shielded() -> Iterator[None]:
    """Keep interruptions out of the block; one that comes meanwhile is raised at its end.

    For releases on the ordinary path, such as the deletion of a vendor session after
    the last event: many clients hang up the moment they have read that event.
    """
    request = answering.get()
    if request is None:
        yield
        return
    request.shields += 1
    try:
        yield
    finally:
        request.shields -= 1
    request.end_of_shield()


class Process:
    """State of the whole process: draining or not, and the lateness of its event loop.

    There is one per process, as there is one set of signal handlers.
    """

    def __init__(self) -> None:
        self.draining = False
        self.lags_s: deque[float] = deque([0.0], maxlen=40)
        self._callbacks: list[Callable[[], object]] = []

    def on_drain(self, callback: Callable[[], object]) -> None:
        if self.draining:
            callback()
        else:
            self._callbacks.append(callback)

    def begin_drain(self) -> list[Callable[[], object]]:
        """The callbacks to call now; none the second time."""
        self.draining = True
        callbacks, self._callbacks = self._callbacks, []
        return callbacks


process = Process()


def draining() -> bool:
    """True while this process takes no new connections and will exit soon."""
    return process.draining


def on_drain(callback: Callable[[], object]) -> None:
    """Have `callback` called once, in a greenlet of its own, when draining begins.

    The process waits for it to return, up to the end of the drain: a runner of jobs may
    block in it until its jobs are put down. Called at once when draining has begun.
    """
    process.on_drain(callback)


def loop_lag_s() -> float:
    """Worst lateness of the event loop in the last ten seconds."""
    return max(process.lags_s)
