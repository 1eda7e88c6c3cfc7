"""A chat request of any dialect, served in that dialect's forms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gateway.api.app import ApiResponse
from gateway.api.context import RequestContext
from gateway.api.dialects.stream import StreamWriter, frames
from gateway.api.http.heartbeat import (
    Headers,
    announce_job,
    event_stream,
    kept_alive,
    stream_failure,
)
from gateway.api.http.idempotency import answer_once
from gateway.api.http.responses import EVENT_STREAM, dry_run, json_response
from gateway.domain.errors import GatewayError
from gateway.domain.events import Events
from gateway.domain.requests import ChatRequest
from gateway.runtime.interruption import DrainExit

Whole = Callable[[Events], Mapping[str, Any]]


def serve(
    context: RequestContext,
    chat: ChatRequest,
    document: Mapping[str, Any],
    *,
    whole: Whole,
    writer: Callable[[], StreamWriter],
    stream_headers: Headers = EVENT_STREAM,
    events: Callable[[], Events] | None = None,
) -> ApiResponse:
    """Answer `chat`: with the object that `whole` makes, or the frames that `writer` makes.

    `events` begins the answer where it is more than that of `chat`.
    """
    if context.is_dry_run:
        plan = context.services.chat.plan(chat, context.caller, context.trace)
        return dry_run(context, plan)

    def begin(job_id: str | None) -> Callable[[], Events]:
        return events or (lambda: _events(context, chat, job_id))

    if not chat.stream:
        return answer_once(context, document, lambda job_id: _whole(context, begin(job_id), whole))
    frames_of = writer()
    return answer_once(
        context,
        document,
        lambda job_id: streamed(context, begin(job_id), frames_of, stream_headers),
        stream=True,
        heartbeat=frames_of.heartbeat,
    )


def vendor_of(context: RequestContext) -> Callable[[], str]:
    """The upstream that is answering, asked while it does."""
    trace = context.trace
    return lambda: trace.upstream or ""


def streamed(
    context: RequestContext,
    events: Callable[[], Events],
    writer: StreamWriter,
    headers: Headers = EVENT_STREAM,
) -> ApiResponse:
    """Answer with the frames that `writer` makes of events."""

    def failed(err: GatewayError | DrainExit) -> bytes:
        return writer.failed(stream_failure(context, err))

    return event_stream(
        context,
        lambda: frames(events(), writer, failed),
        failed,
        heartbeat=writer.heartbeat,
        headers=headers,
    )


def _whole(context: RequestContext, events: Callable[[], Events], whole: Whole) -> ApiResponse:
    def body() -> Mapping[str, Any]:
        begun = events()
        announce_job(context, stream=False)
        return whole(begun)

    return json_response(kept_alive(context, body))


def _events(context: RequestContext, chat: ChatRequest, job_id: str | None) -> Events:
    services = context.services
    if job_id is not None:
        return services.generation.follow(job_id, context.caller, context.trace)
    return services.chat.stream(chat, context.caller, context.trace)
