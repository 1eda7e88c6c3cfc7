"""Heartbeats in slow responses, which keep clients, routers and SDKs from giving up."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack
from itertools import chain
from typing import TypeVar

from gateway.api.app import ApiResponse
from gateway.api.context import RequestContext
from gateway.api.dialects.base import OPENAI, ErrorFrame
from gateway.api.http.responses import CORS, EVENT_STREAM, JSON, early_headers
from gateway.domain.errors import GatewayError, ShuttingDown
from gateway.runtime.interruption import EARLY_RESPONSE, DrainExit, EarlyResponse, Heartbeat
from gateway.services.routing.dispatch import Trace

T = TypeVar("T")
Headers = Sequence[tuple[str, str]]


def start_heartbeat(
    context: RequestContext,
    *,
    stream: bool,
    heartbeat: Heartbeat = OPENAI.heartbeat,
    headers: Headers = EVENT_STREAM,
) -> EarlyResponse | None:
    """Send white space, or `heartbeat` in a stream with `headers`, while there is silence.

    To be called again when more is known of the response: the headers that go out with the
    first byte are those of the last call, the time of that byte is set by the first.
    """
    server: EarlyResponse | None = context.environ.get(EARLY_RESPONSE)
    if server is None:
        return None
    settings, now = context.services.settings, time.monotonic()
    first_byte_at = context.first_byte_at
    if first_byte_at is None:
        # An event stream may begin early: a later failure is an event of it.
        wait_s = min(settings.hold_s, settings.heartbeat_s) if stream else settings.hold_s
        first_byte_at = context.first_byte_at = now + wait_s
    server.arm(
        headers=lambda: [*(headers if stream else JSON), *early_headers(context), *CORS],
        filler=heartbeat if stream else b" ",
        first_after_s=max(0.0, first_byte_at - now),
        every_s=settings.heartbeat_s,
    )
    return server


def announce_job(
    context: RequestContext,
    *,
    stream: bool,
    heartbeat: Heartbeat = OPENAI.heartbeat,
    headers: Headers = EVENT_STREAM,
) -> None:
    """Have the first byte's headers name the job, if there is one by now."""
    if context.trace.job is not None:
        start_heartbeat(context, stream=stream, heartbeat=heartbeat, headers=headers)


def kept_alive(context: RequestContext, make: Callable[[], T]) -> T:
    """Run something slow whose JSON response may have to be kept alive with white space.

    A failure after the first byte breaks the response off. It is kept for the SDK, which
    takes that for a lost connection and sends the request again.
    """
    start_heartbeat(context, stream=False)
    try:
        return make()
    except DrainExit:
        raise restarting(context.trace) from None
    except GatewayError as err:
        trace = context.trace
        unseen = failed_after_status(context, err) and not context.has_idempotency_key
        if unseen and context.authenticated and trace.fingerprint is not None:
            owner = context.caller.owner
            context.services.idempotency.keep_late_failure(owner, trace.fingerprint(), err)
        raise


def failed_after_status(context: RequestContext, err: GatewayError) -> bool:
    """Tell if a failure comes too late for a status; if not, no heartbeat follows.

    A restart of the server is no failure: another process may serve the request.
    """
    server: EarlyResponse | None = context.environ.get(EARLY_RESPONSE)
    if server is None or isinstance(err, ShuttingDown):
        return False
    server.disarm()
    return server.started


def event_stream(
    context: RequestContext,
    make: Callable[[], Generator[bytes, None, None]],
    error_frame: ErrorFrame,
    *,
    heartbeat: Heartbeat = OPENAI.heartbeat,
    headers: Headers = EVENT_STREAM,
) -> ApiResponse:
    """Respond with frames as they come.

    The first frame is taken before the response begins, so an error raised until then
    keeps its HTTP status, unless a heartbeat has already been sent: then `error_frame` puts
    it into the stream. The frames are closed when the client leaves, also before the first
    byte, which is what gives the account back.
    """
    server = start_heartbeat(context, stream=True, heartbeat=heartbeat, headers=headers)
    with ExitStack() as undo:
        try:
            frames = make()
            undo.callback(frames.close)
            announce_job(context, stream=True, heartbeat=heartbeat, headers=headers)
            first = next(frames)
        except (GatewayError, DrainExit) as err:
            if server is None or not server.started:
                raise (restarting(context.trace) if isinstance(err, DrainExit) else err) from None
            return ApiResponse(error_frame(err), headers=headers)
        undo.pop_all()
    response = ApiResponse(chain((first,), frames), headers=headers)
    response.call_on_close(frames.close)
    return response


def restarting(trace: Trace) -> ShuttingDown:
    """The error of a request that the end of the process interrupts."""
    then = "send the request again."
    if trace.job is not None:
        then = f"its job goes on meanwhile: ask for /v1/jobs/{trace.job}."
    return ShuttingDown(f"The server is restarting; {then}", retry_after=1)


def stream_failure(context: RequestContext, err: GatewayError | DrainExit) -> GatewayError:
    """The error that ends a stream which has begun, noted for the request's log line."""
    trace = context.trace
    trace.error = restarting(trace) if isinstance(err, DrainExit) else err
    return trace.error
