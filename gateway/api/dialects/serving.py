"""A chat request of any dialect, served in that dialect's forms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from gateway.api.app import ApiResponse
from gateway.api.context import RequestContext
from gateway.api.dialects.base import Dialect
from gateway.api.dialects.stream import StreamWriter, frames
from gateway.api.http.heartbeat import announce_job, error_frames, event_stream, kept_alive
from gateway.api.http.idempotency import answer_once
from gateway.api.http.responses import dry_run, json_response
from gateway.domain.events import Events
from gateway.domain.requests import ChatRequest
from gateway.services.routing.dispatch import Trace

Whole = Callable[[Events], Mapping[str, Any]]


def serve(
    context: RequestContext,
    chat: ChatRequest,
    document: Mapping[str, Any],
    dialect: Dialect,
    *,
    whole: Whole,
    writer: Callable[[], StreamWriter],
) -> ApiResponse:
    """Answer `chat`: with the object that `whole` makes, or the frames that `writer` makes."""
    if context.is_dry_run:
        plan = context.services.chat.plan(chat, context.caller, context.trace)
        return dry_run(context, plan)
    return answer_once(
        context,
        document,
        lambda job_id: _answer(context, chat, job_id, dialect, whole, writer),
        stream=chat.stream,
        heartbeat=dialect.heartbeat,
    )


def _answer(
    context: RequestContext,
    chat: ChatRequest,
    job_id: str | None,
    dialect: Dialect,
    whole: Whole,
    writer: Callable[[], StreamWriter],
) -> ApiResponse:
    services = context.services

    def batches() -> Events:
        if job_id is not None:
            return services.generation.follow(job_id, context.caller, context.trace)
        return services.chat.stream(chat, context.caller, context.trace)

    def body() -> Mapping[str, Any]:
        begun = batches()
        announce_job(context, stream=False)
        return whole(begun)

    if not chat.stream:
        return json_response(kept_alive(context, body))
    failed = error_frames(context, dialect)
    return event_stream(
        context,
        lambda: frames(batches(), writer(), failed),
        failed,
        heartbeat=dialect.heartbeat,
    )


def vendor_of(found: Trace) -> Callable[[], str]:
    """The upstream that is answering, asked while it does."""
    return lambda: found.upstream or ""
