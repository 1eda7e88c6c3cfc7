"""What is written down of a request once its answer has ended: a log line, measurements, usage."""

from __future__ import annotations

import time
from collections.abc import Callable

from flask import Flask, Response

from gateway.api.context import services, state, the_request
from gateway.runtime.interruption import ClientGone
from gateway.runtime.logs import log

_CLIENT_GONE = 499  # as nginx calls it
_ENDING = 503


def begin() -> None:
    state().started = time.monotonic()
    services().ledger.begin()


def later(response: Response) -> None:
    """Write it down when the answer has been sent, or its reader is gone."""
    end = _ending()
    response.call_on_close(lambda: end(response.status_code))
    state().answered = True


def register(app: Flask) -> None:
    @app.teardown_request
    def unanswered(error: BaseException | None) -> None:
        """The request was interrupted before there was an answer: by its client, or by a drain."""
        if state().started and not state().answered:
            _ending()(_CLIENT_GONE if isinstance(error, ClientGone) else _ENDING)


def _ending() -> Callable[[int], None]:
    """Closes the books on the present request; works after its context is gone, too."""
    known, asked, ledger = state(), the_request(), services().ledger
    found, started = known.trace, known.started
    owner = known.caller.owner if known.caller is not None else None
    route = asked.url_rule.endpoint if asked.url_rule is not None else "none"

    def end(status: int) -> None:
        seconds = time.monotonic() - started
        ledger.end(route=route, status=status, seconds=seconds, owner=owner, trace=found)
        log.info(
            "request",
            request_id=found.request_id,
            method=asked.method[:16],
            path=asked.path[:256],
            status=status,
            caller=owner[:24] if owner else None,
            model=found.model or None,
            upstream=found.upstream,
            account=found.account,
            attempts=found.attempts or None,
            error=found.error.code if found.error else None,
            ms=round(seconds * 1000, 1),
        )

    return end
