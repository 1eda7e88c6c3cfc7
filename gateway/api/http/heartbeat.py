"""Answers that take their time: how client, routers and SDKs are kept from giving up."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import ExitStack
from itertools import chain
from typing import TypeVar

from gateway.api.app import Answer
from gateway.api.context import State, services, state, the_request, trace
from gateway.api.dialects.base import OPENAI
from gateway.api.hooks.response_headers import restarting
from gateway.api.http.body import CORS, EVENT_STREAM, JSON, limit_headers
from gateway.api.renderers.chat import ErrorFrame
from gateway.domain.errors import GatewayError, ShuttingDown
from gateway.runtime.interruption import HOLD, DrainExit, Heartbeat, Hold

T = TypeVar("T")


def bridge(*, stream: bool, heartbeat: Heartbeat = OPENAI.heartbeat) -> Hold | None:
    """Send white space, or comments, while nothing else is to be sent.

    To be called again when more is known of the answer: the headers that go out with the
    first byte are those of the last call, the time of that byte is set by the first.
    """
    held: Hold | None = the_request().environ.get(HOLD)
    if held is None:
        return None
    settings, known, now = services().settings, state(), time.monotonic()
    first_byte_at = known.first_byte_at
    if first_byte_at is None:
        # An event stream may begin early: what fails later is told inside it.
        wait_s = min(settings.hold_s, settings.heartbeat_s) if stream else settings.hold_s
        first_byte_at = known.first_byte_at = now + wait_s
    held.arm(
        headers=lambda: [*(EVENT_STREAM if stream else JSON), *_early_headers(known)],
        filler=heartbeat if stream else b" ",
        first_after_s=max(0.0, first_byte_at - now),
        every_s=settings.heartbeat_s,
    )
    return held


def name_job(*, stream: bool, heartbeat: Heartbeat = OPENAI.heartbeat) -> None:
    """Have the first byte name the job, now that there may be one."""
    if trace().job is not None:
        bridge(stream=stream, heartbeat=heartbeat)


def hold(make: Callable[[], T]) -> T:
    """Run something slow whose JSON answer may have to be kept alive with white space.

    A failure after the first byte breaks the answer off. It is remembered for the SDK,
    which takes that for a lost connection and sends the request again.
    """
    bridge(stream=False)
    try:
        return make()
    except DrainExit:
        raise restarting(trace()) from None
    except GatewayError as err:
        known, found = state(), trace()
        note = unseen(err) and not known.keyed
        if note and known.caller is not None and found.fingerprint is not None:
            services().idempotency.note_failure(known.caller.owner, found.fingerprint(), err)
        raise


def unseen(err: GatewayError) -> bool:
    """Whether a failure comes too late for a status; if not, nothing gets in between.

    That the server restarts is no failure: another process may do what is asked for.
    """
    held: Hold | None = the_request().environ.get(HOLD)
    if held is None or isinstance(err, ShuttingDown):
        return False
    held.disarm()
    return held.started


def event_stream(
    make: Callable[[], Generator[bytes, None, None]],
    error_frame: ErrorFrame,
    *,
    heartbeat: Heartbeat = OPENAI.heartbeat,
) -> Answer:
    """Answer with frames as they come.

    The first frame is taken before the response begins, so an error raised until then
    keeps its HTTP status, unless the wait has already been bridged with comments: then
    `error_frame` says it inside the stream. The frames are closed when the client leaves,
    also before the first byte, which is what gives the account back.
    """
    held = bridge(stream=True, heartbeat=heartbeat)
    with ExitStack() as undo:
        try:
            frames = make()
            undo.callback(frames.close)
            name_job(stream=True, heartbeat=heartbeat)
            first = next(frames)
        except (GatewayError, DrainExit) as err:
            if held is None or not held.started:
                raise (restarting(trace()) if isinstance(err, DrainExit) else err) from None
            return Answer(error_frame(err), headers=EVENT_STREAM)
        undo.pop_all()
    response = Answer(chain((first,), frames), headers=EVENT_STREAM, direct_passthrough=True)
    response.call_on_close(frames.close)
    return response


def _early_headers(known: State) -> list[tuple[str, str]]:
    """What can be said before anything is known of the answer."""
    found = known.trace
    headers = [("X-Request-Id", found.request_id), *CORS]
    headers += limit_headers(known.standing)
    if found.job:
        headers.append(("X-Gateway-Job", found.job))
    if known.replayed:
        headers.append(("Idempotent-Replayed", "true"))
    return headers
