"""Record of each request once its response has ended: a log line, metrics, usage."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

from gateway.api.app import ApiResponse
from gateway.api.context import RequestContext
from gateway.runtime.interruption import ClientGone
from gateway.runtime.logs import log

_CLIENT_GONE = 499  # as nginx calls it
_DRAINING = 503
_WITHOUT_BODY = frozenset({204, 304})


def begin(context: RequestContext) -> None:
    context.services.accounting.begin()


def end_with(context: RequestContext, response: ApiResponse) -> None:
    """Write the record when the response has been sent, or its client is gone."""
    status = response.status_code
    response.direct_passthrough = False  # with which nobody hears of the end
    if response.is_streamed and context.method != "HEAD" and status not in _WITHOUT_BODY:
        chunks = response.response
        response.response = _until_end(context, chunks)
        if (close := getattr(chunks, "close", None)) is not None:
            response.call_on_close(close)  # of an iterable that has not begun
    else:
        context.sent = True
    response.call_on_close(lambda: _end(context, status if context.sent else _CLIENT_GONE))
    context.has_response = True


def _until_end(context: RequestContext, chunks: Iterable[Any]) -> Iterator[Any]:
    yield from chunks
    context.sent = True


def end_unanswered(context: RequestContext, error: BaseException | None) -> None:
    """Write the record of a request that its client or a drain ended before its response."""
    if not context.has_response:
        _end(context, _CLIENT_GONE if isinstance(error, ClientGone) else _DRAINING)


def _end(context: RequestContext, status: int) -> None:
    seconds, trace = time.monotonic() - context.started_at, context.trace
    owner = context.caller.owner if context.authenticated else None
    first_byte_at = context.first_byte_at
    context.services.accounting.end(
        route=context.endpoint or "none",
        method=context.method,
        path=context.path,
        status=status,
        seconds=seconds,
        first_byte_s=first_byte_at - context.started_at if first_byte_at is not None else None,
        owner=owner,
        trace=trace,
    )
    if context.slot is not None:
        context.services.key_slots.release(context.slot)
    log.info(
        "request",
        request_id=trace.request_id,
        method=context.method[:16],
        path=context.path[:256],
        status=status,
        caller=owner[:24] if owner else None,
        model=trace.model or None,
        upstream=trace.upstream,
        account=trace.account,
        attempts=trace.attempts or None,
        error=trace.error.code if trace.error else None,
        ms=round(seconds * 1000, 1),
    )
